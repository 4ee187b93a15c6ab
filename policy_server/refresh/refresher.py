"""Fetches scheduled data: on time, by one process, without ever losing good data."""

import hashlib
import logging
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from policy_server.model.errors import (
    FetchError,
    InvalidSource,
    NotFound,
    PolicyNotFound,
    RefreshRunning,
    TargetRefused,
)
from policy_server.model.policy import PolicyFilter, PolicyId, PolicyRecord
from policy_server.model.refresh import DataConfig, RefreshState
from policy_server.net.client import GuardedClient
from policy_server.ports import Clock, Publisher, Store
from policy_server.publishing.config import config_digest, parse_config
from policy_server.publishing.document import explain
from policy_server.publishing.leases import Lease
from policy_server.publishing.standing import record_of, records
from policy_server.refresh.fetch import fetch
from policy_server.refresh.schedule import failed, first, is_due, succeeded
from policy_server.tracing.spans import span

AUTHOR: Final = "refresh"
_AT_ONCE: Final = 8

log = logging.getLogger(__name__)


class Refresher:
    """Keeps the data of policies with a data-config fresh.

    ``retry`` is the first pause in seconds after a failure. A lease for each
    policy makes sure that its data is fetched by one process at a time,
    whoever asked for it. ``seen`` is told of every fetch: the policy, whether it went
    well, and when it ended.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        client: GuardedClient,
        clock: Clock,
        *,
        retry: float = 5.0,
        seen: Callable[[str, bool, datetime], None] = lambda _policy, _ok, _at: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the collaborators; nothing is read or fetched yet."""
        self._store = store
        self._publisher = publisher
        self._client = client
        self._clock = clock
        self._retry = retry
        self._seen = seen
        self._chance = chance
        self._stamp: int | None = None

    def run_due(self, at: datetime) -> tuple[RefreshState, ...]:
        """Fetch what is due, several sources at once; returns what was fetched. StoreUnavailable.

        Takes as long as the slowest source, at most the client's deadline.
        One thread at a time; ``refresh_now`` may run beside it anywhere.
        """
        self.reconcile(at)
        due = [state.id for state in self._store.refresh_states() if is_due(state, at)]
        if not due:
            return ()
        with ThreadPoolExecutor(min(len(due), _AT_ONCE), thread_name_prefix="refresh") as pool:
            return tuple(state for state in pool.map(self._run, due) if state is not None)

    def refresh_now(self, policy: PolicyId) -> RefreshState:
        """Fetch the data of one policy; the state says how it went.

        Raises:
            PolicyNotFound: there is no such policy.
            NotFound: it has no data-config.
            RefreshRunning: another process or thread is at it.
        """
        if _config(self._store.get(policy)) is None:
            raise NotFound(f"{policy} has no data-config.json that could be refreshed.")
        with self._alone(policy) as alone:
            if not alone:
                raise RefreshRunning(f"The data of {policy} is being fetched right now.")
            state = self._attempt(policy)
        if state is None:
            raise PolicyNotFound(f"{policy} has just been deleted, or lost its data-config.json.")
        return state

    def reconcile(self, at: datetime) -> None:
        """Give every policy with a data-config its state, and take it from those without.

        Looks only at what changed since the last call.
        """
        stamp = self._store.stamp()
        if stamp == self._stamp:
            return
        if self._stamp is None:
            known = {record.id: record for record in records(self._store, PolicyFilter())}
            policies = known.keys() | {state.id for state in self._store.refresh_states()}
        else:
            known = {}
            policies = {change.id for change in self._store.changes(self._stamp)}
        for policy in sorted(policies):
            config = _config(known.get(policy) or record_of(self._store, policy))
            if config is None:
                self._store.drop_refresh(policy)
            else:
                self._state(policy, config, at)
        self._stamp = stamp

    def _run(self, policy: PolicyId) -> RefreshState | None:
        """Fetch when still due: another process may just have done it."""
        with self._alone(policy) as alone:
            state = self._store.refresh_state(policy)
            if not alone or state is None or not is_due(state, self._clock()):
                return None
            return self._attempt(policy)

    def _attempt(self, policy: PolicyId) -> RefreshState | None:
        """Fetch, publish and note the outcome; None when there is nothing to fetch any more."""
        config = _config(record_of(self._store, policy))
        if config is None:
            self._store.drop_refresh(policy)
            return None
        state = self._state(policy, config, self._clock())
        outcome = self._fetched(policy, config, state)
        current = _config(record_of(self._store, policy))
        if current is None:
            self._store.drop_refresh(policy)
            return None
        if config_digest(current) != state.config_digest:
            # A new configuration arrived meanwhile; whatever was fetched with the old one is soon replaced.
            outcome = first(policy, config_digest(current), self._clock())
        self._store.save_refresh(outcome)
        return outcome

    def _fetched(self, policy: PolicyId, config: DataConfig, state: RefreshState) -> RefreshState:
        def check(record: PolicyRecord | None) -> None:
            current = _config(record)
            if current is None or config_digest(current) != state.config_digest:
                raise PolicyNotFound("The policy that wanted these data is not there any more.")

        try:
            with span("data.refresh", {"policy.id": str(policy)}):
                text = fetch(self._client, config)
                check(record_of(self._store, policy))
                # And again when they are written: loading them takes time, in which others publish.
                self._publisher.publish_data(policy, text, author=AUTHOR, condition=check)
        except PolicyNotFound:
            return state
        except (FetchError, TargetRefused, InvalidSource) as error:
            self._seen(str(policy), False, self._clock())  # noqa: FBT003 - whether it went well
            return self._failed(policy, config, state, error)
        self._seen(str(policy), True, self._clock())  # noqa: FBT003 - as above
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        log.log(
            logging.DEBUG if digest == state.digest else logging.INFO,
            "%s: data fetched, %d bytes",
            policy,
            len(content),
            extra={"action": "refresh.succeeded", "policy": str(policy)},
        )
        return succeeded(state, self._clock(), period=config.period, size=len(content), digest=digest)

    def _failed(
        self,
        policy: PolicyId,
        config: DataConfig,
        state: RefreshState,
        error: FetchError | TargetRefused | InvalidSource,
    ) -> RefreshState:
        # The check names data.json; here it is what the source answered.
        message = explain(error.message, error.problems).replace("data.json", "the answer")
        log.warning(
            "%s: data not refreshed: %s",
            policy,
            message,
            extra={"action": "refresh.failed", "policy": str(policy), "failures": state.failures + 1},
        )
        return failed(state, self._clock(), message, period=config.period, retry=self._retry, chance=self._chance())

    def _state(self, policy: PolicyId, config: DataConfig, at: datetime) -> RefreshState:
        """Return the state that fits the configuration, made anew when that changed."""
        state = self._store.refresh_state(policy)
        digest = config_digest(config)
        if state is None or state.config_digest != digest:
            state = first(policy, digest, at)
            self._store.save_refresh(state)
        return state

    @contextmanager
    def _alone(self, policy: PolicyId) -> Iterator[bool]:
        """Take the lease of a policy; gives False when another one has it."""
        lease = Lease(self._store, f"refresh:{policy}", self._clock)
        held = lease.acquire()
        try:
            yield held
        finally:
            if held:
                lease.release()


def _config(record: PolicyRecord | None) -> DataConfig | None:
    """Return the configuration of the active revision; it was checked when that was published."""
    revision = None if record is None else record.revision
    if revision is None or revision.source.data_config is None:
        return None
    return parse_config(revision.source.data_config)
