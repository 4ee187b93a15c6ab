"""Every promise between rooms, on one page.

Store methods raise StoreUnavailable when the backend cannot be reached; that
is not repeated below. All datetimes carry a zone.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from policy_server.model.access import ApiToken, TrustedKey
from policy_server.model.audit import AuditFilter, AuditPage, AuditRecord
from policy_server.model.auto_import import AutoImport
from policy_server.model.cache import CacheKey
from policy_server.model.change import Applied, Change
from policy_server.model.event import ChangeEvent, Delivery, DeliveryPage, DeliveryState
from policy_server.model.logged import DecisionFilter, DecisionPage, LoggedDecision
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
    RevisionSummary,
)
from policy_server.model.refresh import RefreshState
from policy_server.model.subscriber import Subscriber
from policy_server.model.values import Json


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

    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Make changes of different policies, all of them or none; readers see all of them or none.

        When the active revision has a publication's digest and module already,
        nothing is written for it but the failure. The changes are asked for once,
        one after the other, so that a generator need not hold all of them.

        Raises:
            ChangedMeanwhile: a policy's stamp is not the one that was ``seen``.
            PolicyNotFound: what is to be removed is not there.
        """

    def publish(
        self, draft: PolicySource, compiled: CompiledPolicy, *, data: str | None, digest: str, author: str, at: datetime
    ) -> Revision:
        """Apply one publication."""

    def fail(self, policy: PolicyId, failure: Failure) -> None:
        """Apply one refusal."""

    def delete(self, policy: PolicyId, *, actor: str = "", at: datetime | None = None) -> None:
        """Apply one removal; unknown: PolicyNotFound."""

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy; unknown: PolicyNotFound."""

    def revisions(self, policy: PolicyId, *, limit: int, before: int | None = None) -> Sequence[RevisionSummary]:
        """List the kept revisions with numbers below ``before``, newest first; unknown policy: PolicyNotFound."""

    def revision(self, policy: PolicyId, number: int) -> Revision:
        """Return one kept revision; PolicyNotFound, RevisionNotFound."""

    def foreign(self) -> Sequence[PolicySource]:
        """Return policies that another program keeps in this store and that were never published here.

        Publishing one takes it over, with its lock. Only MongoDB can have any: the original service's.
        """

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id; a cursor that is not ours: InvalidParameter."""

    def module(self, digest: str) -> bytes:
        """Return the wasm bytes with this digest; unknown: KeyError."""

    def lock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Lock; unknown: PolicyNotFound, locked: AlreadyLocked."""

    def unlock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
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


class SubscriberStore(Protocol):
    """Keeps webhooks; deleting a policy leaves them, because it may come back."""

    def add(self, subscriber: Subscriber) -> None:
        """Keep a new one; the same policy, name and URL again: AlreadyExists."""

    def get(self, subscriber: str) -> Subscriber:
        """Return one by its id; unknown: SubscriberNotFound."""

    def find(self, policy: PolicyId | None = None) -> Sequence[Subscriber]:
        """Return those of a policy, or all, oldest id first."""

    def save(self, subscriber: Subscriber) -> None:
        """Replace one; SubscriberNotFound, AlreadyExists when it would become another's double."""

    def remove(self, subscriber: str) -> None:
        """Forget one; unknown: SubscriberNotFound."""


class AutoImportStore(Protocol):
    """Keeps which bundles are imported on a schedule; there is one for each URL."""

    def save(self, auto_import: AutoImport) -> AutoImport:
        """Insert, or replace the one with this URL, which keeps its id; return what is kept."""

    def all(self) -> Sequence[AutoImport]:
        """Return all, ordered by URL."""

    def due(self, at: datetime) -> Sequence[AutoImport]:
        """Return those whose next import is at or before ``at``, longest due first."""

    def remove(self, url: str) -> AutoImport:
        """Forget and return one; unknown: AutoImportNotFound."""


class ValueStore(Protocol):
    """Keeps JSON values of policies under keys that all policies share (``storage.get`` and so on)."""

    def get(self, key: str) -> Json:
        """Return a value; unknown: ValueNotFound."""

    def set(self, key: str, value: Json) -> None:
        """Insert or replace a value."""

    def delete(self, key: str) -> None:
        """Forget a value; unknown: ValueNotFound."""


class CacheStore(Protocol):
    """Keeps JSON values for a while; what has run out is as good as gone."""

    def get(self, key: CacheKey, *, at: datetime) -> Json:
        """Return a value that has not run out at ``at``; else ValueNotFound."""

    def put(self, key: CacheKey, value: Json, *, until: datetime | None) -> None:
        """Insert or replace a value; ``until`` None means for ever."""

    def purge(self, at: datetime) -> int:
        """Drop what has run out at ``at``; return how many."""


class Outbox(Protocol):
    """Tells what changed, at least once.

    Events are written in the same transaction as their change, never alone. One
    process at a time (under a lease) moves them on, in this order, so that a
    crash anywhere repeats work and loses none::

        for event in outbox.undispatched(100):
            outbox.dispatch(event, targets_of(event), at=now)
        for delivery in outbox.claim(50, at=now, until=now + patience):
            outbox.delivered(…) or outbox.retry(…) or outbox.bury(…)
    """

    def events(self, *, after: int, limit: int) -> Sequence[ChangeEvent]:
        """Return the events with stamps above ``after``, oldest first; old ones may have been pruned."""

    def undispatched(self, limit: int) -> Sequence[ChangeEvent]:
        """Return events that were not handed to targets yet, oldest first."""

    def dispatch(self, event: ChangeEvent, targets: Sequence[str], *, at: datetime) -> None:
        """Make one delivery, due at once, for each target; repeating adds nothing."""

    def claim(self, limit: int, *, at: datetime, until: datetime) -> Sequence[Delivery]:
        """Take deliveries that are due, longest due first; nobody else gets them before ``until``."""

    def delivered(self, delivery: Delivery, *, at: datetime) -> bool:
        """Note success; False when the claim had run out and another took over (nothing is written)."""

    def retry(self, delivery: Delivery, *, error: str, next_attempt: datetime) -> bool:
        """Note a failure to be tried again; False as above."""

    def bury(self, delivery: Delivery, *, error: str, at: datetime) -> bool:
        """Give up; False as above."""

    def redeliver(self, delivery: str, *, at: datetime) -> Delivery:
        """Make a settled delivery due again, with its attempts forgotten; unknown: DeliveryNotFound."""

    def deliveries(
        self,
        *,
        limit: int,
        state: DeliveryState | None = None,
        target: str | None = None,
        cursor: str | None = None,
    ) -> DeliveryPage:
        """List deliveries, newest event first; a cursor that is not ours: InvalidParameter."""

    def event(self, stamp: int) -> ChangeEvent | None:
        """Return the event with this stamp, None when it was pruned."""

    def pending(self) -> int:
        """Return how many deliveries are to be tried."""

    def prune(self, before: datetime) -> int:
        """Drop settled deliveries and events from before; an event with a pending delivery stays. Return how many."""


class AuditStore(Protocol):
    """Keeps who changed what."""

    def record(self, record: AuditRecord) -> AuditRecord:
        """Append; return the record with its id."""

    def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None = None) -> AuditPage:
        """List records, newest first; a cursor that is not ours: InvalidParameter."""

    def prune(self, before: datetime) -> int:
        """Drop records from before; return how many."""


class DecisionStore(Protocol):
    """Keeps records of decisions; none of it counts as a change of a policy."""

    def record(self, decisions: Sequence[LoggedDecision]) -> None:
        """Append some hundreds at most, all or none; those whose id is there already stay as they are."""

    def find(self, wanted: DecisionFilter, *, limit: int, cursor: str | None = None) -> DecisionPage:
        """List records, newest first; a cursor that is not ours: InvalidParameter."""

    def get(self, decision_id: str) -> LoggedDecision:
        """Return the newest record with this decision id; unknown: DecisionNotFound."""

    def prune(self, before: datetime, *, keep: int) -> int:
        """Drop records from before, and the oldest beyond the newest ``keep``; return how many."""


class TokenStore(Protocol):
    """Keeps API tokens, by digest only."""

    def add(self, token: ApiToken) -> None:
        """Keep a new one; an id or digest that is there: AlreadyExists."""

    def by_digest(self, digest: str) -> ApiToken | None:
        """Return the token with this digest, whether or not it is still good; None when there is none."""

    def all(self) -> Sequence[ApiToken]:
        """Return all, ordered by id."""

    def touch(self, token: str, at: datetime) -> None:
        """Note that it was used; unknown is fine, and time only goes forward."""

    def revoke(self, token: str, at: datetime) -> ApiToken:
        """Make it useless; the first time counts. Unknown: TokenNotFound."""

    def remove(self, token: str) -> None:
        """Forget one; unknown: TokenNotFound."""


class KeyStore(Protocol):
    """Keeps the keys that bundles are trusted by."""

    def save(self, key: TrustedKey) -> None:
        """Insert or replace one."""

    def get(self, key: str) -> TrustedKey:
        """Return one by its id; unknown: KeyNotFound."""

    def all(self) -> Sequence[TrustedKey]:
        """Return all, ordered by id."""

    def remove(self, key: str) -> None:
        """Forget one; unknown: KeyNotFound."""


class Store(PolicyStore, LeaseStore, RefreshStore, Protocol):
    """All of them; one object a backend. What is not about policies themselves has a name of its own."""

    @property
    def subscribers(self) -> SubscriberStore:
        """Webhooks."""

    @property
    def auto_imports(self) -> AutoImportStore:
        """Bundles imported on a schedule."""

    @property
    def values(self) -> ValueStore:
        """What policies keep."""

    @property
    def cache(self) -> CacheStore:
        """What is kept for a while."""

    @property
    def outbox(self) -> Outbox:
        """Events about changes."""

    @property
    def audit(self) -> AuditStore:
        """Who changed what."""

    @property
    def decisions(self) -> DecisionStore:
        """What was decided."""

    @property
    def tokens(self) -> TokenStore:
        """API tokens."""

    @property
    def keys(self) -> KeyStore:
        """Keys that bundles are trusted by."""

    def follow(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Call ``changed`` whenever somebody changed a policy, until told to stop.

        Returns at once where the backend cannot tell. It only makes known sooner what asking for the stamp tells
        anyway, so it never raises; nothing may rely on it.
        """

    def tidy(self) -> None:
        """Drop what nothing refers to any more, such as leftovers of processes that were killed."""

    def ping(self) -> None:
        """Prove that the backend answers."""

    def close(self) -> None:
        """Give connections back; safe to repeat."""


class Compiler(Protocol):
    """Turns a source into a compiled policy."""

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile; CompileError with problems, InvalidSource, CompileLimit, ToolkitError."""


Condition = Callable[[PolicyRecord | None], None]
"""Looks at a policy as it is (None: it is not there) just before it would be changed; raises when it must not be."""


class Publisher(Protocol):
    """The one door for all writers.

    A ``condition`` is asked while nobody else can write the policy, and not at all
    when nothing would change, so that a repeated request is answered like the first.
    Every change is in the audit records before it is made.
    """

    def publish(
        self,
        source: PolicySource,
        *,
        author: str,
        condition: Condition | None = None,
        keep_failure: bool = True,
        locked: bool = False,
    ) -> Revision:
        """Check, compile, keep, announce; a failure is raised, and recorded on the policy if ``keep_failure``.

        ``locked`` locks the policy together with the new revision.
        """

    def publish_data(self, policy: PolicyId, data: str, *, author: str, condition: Condition | None = None) -> Revision:
        """Give the active revision new data; PolicyNotFound, InvalidSource."""

    def roll_back(self, policy: PolicyId, number: int, *, author: str, condition: Condition | None = None) -> Revision:
        """Publish source and data of a kept revision as a new one; PolicyNotFound, RevisionNotFound, as publish."""

    def delete(self, policy: PolicyId, *, author: str, condition: Condition | None = None) -> None:
        """Remove a policy; unknown: PolicyNotFound."""


class Bearer(Protocol):
    """Has a token of ours for other servers (OAuth 2.0 client credentials); safe for threads."""

    def __call__(self) -> str:
        """Return the value of an Authorization header, cached or fetched; FetchError when there is none to be had."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Return now, with a zone."""
