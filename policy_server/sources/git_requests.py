"""Answers how Git repositories are doing, and passes requests on to whichever process follows them."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from policy_server.model.errors import RepositoryNotFound
from policy_server.model.git import GitCondition, GitState
from policy_server.model.status import Status
from policy_server.ports import CacheStore, Clock
from policy_server.sources.git_config import GitRepository
from policy_server.sources.git_state import GitStates, status_of

_PAUSE: Final = 0.1


class GitRequests:
    """The face of the feeds in processes that do not run them."""

    def __init__(
        self,
        repositories: Sequence[GitRepository],
        store: CacheStore,
        clock: Clock,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the repositories and where their states are kept; ``pause`` waits between two looks at a state."""
        self._repositories = {item.name: item for item in repositories}
        self._states = GitStates(store, clock)
        self._clock = clock
        self._pause = pause

    def all(self) -> list[tuple[GitRepository, GitState]]:
        """Return every repository with its state; StoreUnavailable."""
        return [(item, self._states.load(item.name)) for item in self._repositories.values()]

    def get(self, name: str) -> tuple[GitRepository, GitState]:
        """Return one repository with its state; RepositoryNotFound, StoreUnavailable."""
        return self.repository(name), self._states.load(name)

    def repository(self, name: str) -> GitRepository:
        """Return what is set about one repository; RepositoryNotFound."""
        try:
            return self._repositories[name]
        except KeyError:
            raise RepositoryNotFound(f"No Git repository {name} is set.") from None

    def ask(self, name: str, *, wait: float) -> tuple[GitRepository, GitState, bool]:
        """Have a repository synchronised; return it with its state, and whether that was over in ``wait`` seconds.

        Raises:
            RepositoryNotFound: no such repository is set.
            StoreUnavailable: the store cannot be written.
        """
        repository = self.repository(name)
        request = self._states.ask(name)
        state = self._states.load(name)
        for _ in range(round(wait / _PAUSE)):
            if _is_over(state, request):
                break
            self._pause(_PAUSE)
            state = self._states.load(name)
        return repository, state, _is_over(state, request)

    def status(self) -> Status:
        """Return how they are doing altogether."""
        return status_of(self._states, self._repositories, self._clock())


def _is_over(state: GitState, request: str) -> bool:
    return state.answered >= request and state.condition is not GitCondition.SYNCING
