"""Several policies that are published as one: a commit of a Git repository."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from policy_server.audit.journal import Journal
from policy_server.model.change import Change, Publication, Refusal, Removal
from policy_server.model.errors import PolicyServerError, PublishError
from policy_server.model.policy import CompiledPolicy, Failure, PolicyId, PolicyRecord, PolicySource
from policy_server.ports import Clock, Store
from policy_server.publishing.digest import revision_digest, source_digest
from policy_server.publishing.standing import current_data, digest_of, failure_of, is_known, record_of, stamp_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source that was checked, compiled and proven aside.

    ``load`` reads both again, because those of five thousand policies would fill the
    memory. It is called while the store is being written, and must not use it.
    """

    id: PolicyId
    load: Callable[[], tuple[PolicySource, CompiledPolicy]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A source that cannot be published; ``digest`` tells it from others."""

    id: PolicyId
    error: PolicyServerError
    digest: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Policies to be removed, each only as long as it is ``owned``: somebody else may take it over at any time."""

    policies: Sequence[PolicyId] = ()
    owned: Callable[[PolicyRecord], bool] = lambda _: True


@dataclass(slots=True)
class Published:
    """What became of a batch; ``refused`` are those whose failure is new, ``unfit`` those that failed only now."""

    published: dict[PolicyId, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    unfit: list[Refused] = field(default_factory=list)
    deleted: list[PolicyId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A revision to be: ``data`` is what was fetched, None when it is the source's own."""

    prepared: Prepared
    before: str | None
    digest: str
    data: str | None
    seen: int
    is_new: bool


class Batch:
    """Decides what is to be written, and writes it in one go; repeatable when somebody else came first.

    A context: each change is recorded once, before the first attempt, and what became of it when the context ends.
    """

    def __init__(
        self, store: Store, journal: Journal, clock: Clock, prove: Callable[[bytes, str | None], None]
    ) -> None:
        """Take the collaborators; ``prove`` raises InvalidSource when a module does not load with its data."""
        self._store = store
        self._journal = journal
        self._clock = clock
        self._prove = prove
        self._plans: dict[PolicyId, _Planned] = {}
        self._records = ExitStack()
        self._recorded: set[tuple[str, PolicyId, str | None, str | None]] = set()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Record that nothing was written, if that is so."""
        self._records.__exit__(kind, error, where)

    def write(self, prepared: Sequence[Prepared], refused: Sequence[Refused], gone: Gone, *, author: str) -> Published:
        """Write all of it; ChangedMeanwhile when one of the policies was changed since it was looked at."""
        done = Published()
        plans = [self._plan(item, done) for item in prepared]
        planned = [plan for plan in plans if plan is not None]
        wrong = [self._failure(item, done) for item in (*refused, *done.unfit)]
        failures = [failure for failure in wrong if failure is not None]
        found = {policy: record_of(self._store, policy) for policy in gone.policies}
        removals = {policy: record for policy, record in found.items() if record is not None and gone.owned(record)}
        if planned or failures or removals:
            self._record(planned, done.refused, removals, author)
            applied = self._store.apply(self._changes(planned, failures, removals, author))
            numbers = [made.number or 0 for made in applied[: len(planned)]]
            done.published = {plan.prepared.id: number for plan, number in zip(planned, numbers, strict=True)}
        done.deleted = list(removals)
        return done

    def _record(
        self,
        planned: Sequence[_Planned],
        refused: Sequence[Refused],
        removals: Mapping[PolicyId, PolicyRecord],
        author: str,
    ) -> None:
        """Write down each change before any is made."""
        for plan in planned:
            if plan.is_new and self._is_first("publish", plan.prepared.id, plan.before, plan.digest):
                change = self._journal.change(
                    "publish", plan.prepared.id, actor=author, before=plan.before, after=plan.digest
                )
                self._records.enter_context(change)
        for policy, record in removals.items():
            if self._is_first("delete", policy, digest_of(record), None):
                change = self._journal.change("delete", policy, actor=author, before=digest_of(record))
                self._records.enter_context(change)
        for each in refused:
            if self._is_first("refuse", each.id, each.error.slug, each.digest):
                self._journal.note("publish", each.id, actor=author, outcome=each.error.slug, after=each.digest)

    def _is_first(self, what: str, policy: PolicyId, before: str | None, after: str | None) -> bool:
        known = (what, policy, before, after)
        if known in self._recorded:
            return False
        self._recorded.add(known)
        return True

    def _plan(self, prepared: Prepared, done: Published) -> _Planned | None:
        """Decide about a source; None when it is what answers already, or does not load with what was fetched."""
        before = record_of(self._store, prepared.id)
        known = self._plans.get(prepared.id)
        if known is not None and known.seen == stamp_of(before):
            return known
        source, compiled = prepared.load()
        active = None if before is None else before.revision
        data = current_data(source, active, source.data)
        digest = revision_digest(source, data)
        is_new = active is None or active.digest != digest
        if not is_new and before is not None and before.failure is None:
            return None
        fetched = None if data == source.data else data
        if is_new and fetched is not None:
            try:
                self._prove(compiled.wasm, fetched)
            except PublishError as error:
                done.unfit.append(Refused(prepared.id, error, source_digest(source)))
                return None
        plan = _Planned(prepared, digest_of(before), digest, fetched, stamp_of(before), is_new)
        self._plans[prepared.id] = plan
        return plan

    def _failure(self, refused: Refused, done: Published) -> Refusal | None:
        """Write down a failure unless it is known."""
        failure: Failure = failure_of(refused.error, refused.digest, self._clock())
        record = record_of(self._store, refused.id)
        if record is not None and is_known(record.failure, failure):
            return None
        done.refused.append(refused)
        return Refusal(refused.id, failure, stamp_of(record))

    def _changes(
        self,
        planned: Sequence[_Planned],
        failures: Sequence[Refusal],
        removals: Mapping[PolicyId, PolicyRecord],
        author: str,
    ) -> Iterator[Change]:
        at = self._clock()
        for plan in planned:
            source, compiled = plan.prepared.load()
            yield Publication(
                source=source,
                compiled=compiled,
                data=source.data if plan.data is None else plan.data,
                digest=plan.digest,
                author=author,
                at=at,
                seen=plan.seen,
            )
        yield from failures
        for policy, record in removals.items():
            yield Removal(id=policy, actor=author, at=at, seen=record.stamp)
