"""Every promise between rooms, on one page.

Store methods raise StoreUnavailable when the backend cannot be reached; that
is not repeated below. All datetimes carry a zone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from policy_server.model.policy import (
    CompiledPolicy,
    Failure,
    Page,
    PolicyChanged,
    PolicyFilter,
    PolicyId,
    PolicyRecord,
    PolicySource,
    Revision,
)
from policy_server.model.refresh import RefreshState


class PolicyStore(Protocol):
    """Keeps policies: revisions, compiled modules, locks, failures.

    Every write is one transaction: after ``kill -9`` it is there whole or not at all.
    """

    def stamp(self) -> int:
        """Return a number that grows with every committed change of a policy, of any process.

        Leases and refresh state do not count. Cheap enough to be asked before
        every evaluation (microseconds on SQLite).
        """

    def changes(self, since: int) -> Sequence[PolicyChanged]:
        """Return what changed after ``since``, oldest first; one entry a policy and kind is enough."""

    def publish(
        self, draft: PolicySource, compiled: CompiledPolicy, *, data: str | None, digest: str, author: str, at: datetime
    ) -> Revision:
        """Make a new active revision, clear the failure, keep the lock.

        When the active revision already has this digest nothing is written and
        it is returned (a recorded failure is cleared all the same).
        """

    def fail(self, policy: PolicyId, failure: Failure) -> None:
        """Record that the newest source failed; an active revision stays active."""

    def delete(self, policy: PolicyId) -> None:
        """Remove a policy with revisions, lock and refresh state; unknown: PolicyNotFound."""

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy; unknown: PolicyNotFound."""

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id; a cursor that is not ours: InvalidParameter."""

    def module(self, digest: str) -> bytes:
        """Return the wasm bytes with this digest; unknown: KeyError."""

    def lock(self, policy: PolicyId, at: datetime) -> None:
        """Lock; unknown: PolicyNotFound, locked: AlreadyLocked."""

    def unlock(self, policy: PolicyId, at: datetime) -> None:
        """Unlock; unknown: PolicyNotFound, not locked: NotLocked."""

    def locks(self) -> frozenset[PolicyId]:
        """Return all locked policies, as committed now."""


class LeaseStore(Protocol):
    """Decides which process acts alone."""

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Take or renew a lease; False when another holder's has not run out at ``at``."""

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; nothing happens when it is another's."""


class RefreshStore(Protocol):
    """Keeps how scheduled data is doing."""

    def refresh_state(self, policy: PolicyId) -> RefreshState | None:
        """Return the state, None when the policy has no schedule."""

    def refresh_states(self) -> Sequence[RefreshState]:
        """Return all states, ordered by id."""

    def save_refresh(self, state: RefreshState) -> None:
        """Insert or replace the state of one policy."""

    def drop_refresh(self, policy: PolicyId) -> None:
        """Forget the state of one policy; unknown is fine."""


class Store(PolicyStore, LeaseStore, RefreshStore, Protocol):
    """All three; one object a backend."""

    def ping(self) -> None:
        """Prove that the backend answers."""

    def close(self) -> None:
        """Give connections back; safe to repeat."""


class Compiler(Protocol):
    """Turns a source into a compiled policy."""

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile; CompileError with problems, InvalidSource, CompileLimit, ToolkitError."""


class Publisher(Protocol):
    """The one door for all writers."""

    def publish(self, source: PolicySource, *, author: str) -> Revision:
        """Check, compile, keep, announce; a failure is recorded on the policy and raised."""

    def publish_data(self, policy: PolicyId, data: str, *, author: str) -> Revision:
        """Give the active revision new data; PolicyNotFound, InvalidSource."""

    def delete(self, policy: PolicyId, *, author: str) -> None:
        """Remove a policy; unknown: PolicyNotFound."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Return now, with a zone."""
