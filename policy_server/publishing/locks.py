"""Locks and unlocks, on record."""

from policy_server.audit.journal import Journal
from policy_server.model.errors import AlreadyLocked, NotLocked
from policy_server.model.policy import PolicyId
from policy_server.ports import Clock, Store


class PolicyLocks:
    """The door for whoever locks; the store is the truth about locks."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take the store."""
        self._store = store
        self._clock = clock
        self._journal = Journal(store.audit, clock)

    def lock(self, policy: PolicyId, *, actor: str) -> None:
        """Lock; PolicyNotFound, AlreadyLocked."""
        # Looked at first, so that what changes nothing leaves no record; the store decides.
        if self._store.get(policy).locked:
            raise AlreadyLocked
        with self._journal.change("lock", policy, actor=actor):
            self._store.lock(policy, self._clock(), actor=actor)

    def unlock(self, policy: PolicyId, *, actor: str) -> None:
        """Unlock; PolicyNotFound, NotLocked."""
        if not self._store.get(policy).locked:
            raise NotLocked
        with self._journal.change("unlock", policy, actor=actor):
            self._store.unlock(policy, self._clock(), actor=actor)
