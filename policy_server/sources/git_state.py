"""How repositories are doing, and who wants them synchronised: kept in the store, for every process to see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from policy_server.model.cache import RESERVED, CacheKey
from policy_server.model.errors import StoreUnavailable, ValueNotFound
from policy_server.model.git import GitCondition, GitState
from policy_server.model.status import State, Status
from policy_server.model.values import Json
from policy_server.ports import CacheStore, Clock

_SPACE: Final = f"{RESERVED}git"


class GitStates:
    """Reads and writes states and requests, under names of ours in the store's cache."""

    def __init__(self, store: CacheStore, clock: Clock) -> None:
        """Take where they are kept."""
        self._store = store
        self._clock = clock

    def load(self, repository: str) -> GitState:
        """Return how a repository is doing; WAITING when nobody knows. StoreUnavailable."""
        kept = self._get(repository, "state")
        if kept is None:
            return GitState(repository)
        try:
            return msgspec.convert(kept, GitState)
        except msgspec.ValidationError:
            return GitState(repository)  # another release wrote it

    def save(self, state: GitState) -> None:
        """Keep how a repository is doing; StoreUnavailable."""
        self._store.put(CacheKey(state.repository, _SPACE, "state"), msgspec.to_builtins(state), until=None)

    def ask(self, repository: str) -> str:
        """Ask whoever acts to synchronise now; return the request. Requests sort by time. StoreUnavailable."""
        request = self._clock().isoformat()
        self._store.put(CacheKey(repository, _SPACE, "asked"), request, until=None)
        return request

    def asked(self, repository: str) -> str:
        """Return the newest request, empty when there was none; StoreUnavailable."""
        found = self._get(repository, "asked")
        return found if isinstance(found, str) else ""

    def _get(self, repository: str, what: str) -> Json:
        try:
            return self._store.get(CacheKey(repository, _SPACE, what), at=self._clock())
        except ValueNotFound:
            return None


def status_of(states: GitStates, repositories: Iterable[str], at: datetime) -> Status:
    """Sum up for health pages; a repository that fails only degrades: what was published goes on answering."""
    try:
        found = [states.load(name) for name in repositories]
    except StoreUnavailable as error:
        return Status(State.DEGRADED, error.message, at)
    failing = [state for state in found if state.condition is GitCondition.FAILING or state.error is not None]
    if failing:
        since = min(state.last_success or state.last_attempt or at for state in failing)
        # SECURITY: health pages are open to everybody; the error itself names servers.
        told = "; ".join(f"{state.repository}: {state.failures} attempts failed in a row" for state in failing)
        return Status(State.DEGRADED, told, since)
    waiting = [state.repository for state in found if state.last_success is None]
    if waiting:
        return Status(State.STARTING, f"not synchronised yet: {', '.join(waiting)}", at)
    broken = [f"{state.counts.failed} of {state.repository}" for state in found if state.counts.failed]
    since = max(state.last_success or at for state in found)
    if broken:
        return Status(State.DEGRADED, f"policies that could not be published: {', '.join(broken)}", since)
    return Status(
        State.READY, ", ".join(f"{state.repository} at {(state.commit or '')[:12]}" for state in found), since
    )
