"""The one door for all writers: check, compile, keep, announce."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from policy_server.audit.journal import Journal
from policy_server.model.change import Publication, Refusal, Removal
from policy_server.model.errors import (
    ChangedMeanwhile,
    InvalidSource,
    PolicyNotFound,
    PolicyServerError,
    PublishError,
    ToolkitError,
)
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicyRecord, PolicySource, Revision
from policy_server.ports import Clock, Compiler, Condition, Store
from policy_server.publishing.batch import Batch, Gone, Prepared, Published, Refused
from policy_server.publishing.checks import check_data, check_source, tidy
from policy_server.publishing.digest import revision_digest, source_digest
from policy_server.publishing.standing import (
    current_data,
    described,
    digest_of,
    failure_of,
    is_known,
    record_of,
    stamp_of,
    until_settled,
)
from policy_server.publishing.turns import Turns

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How a source is to be published; ``data`` is its own document, or that of the revision it is taken from."""

    author: str
    data: str | None
    action: str = "publish"
    condition: Condition | None = None
    keep_failure: bool = True
    locked: bool = False


class SourcePublisher:
    """Implements ports.Publisher.

    Everything that can fail is done aside; the store is written last, in one
    transaction. ``announce`` is called after each write.
    """

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        clock: Clock,
        announce: Callable[[], None],
        *,
        prove: Callable[[bytes, str | None], None] = lambda _wasm, _data: None,
        turns: Turns | None = None,
    ) -> None:
        """Take the collaborators; nothing is read or written yet.

        ``prove`` raises InvalidSource when a module does not load with its data.
        """
        self._store = store
        self._compiler = compiler
        self._clock = clock
        self._announce = announce
        self._prove = prove
        self._turns = turns or Turns()
        self._journal = Journal(store.audit, clock)

    def compile(self, source: PolicySource, *, known: CompiledPolicy | None = None) -> CompiledPolicy:
        """Check, compile and load a source aside, for ``publish``; nothing is written.

        ``known`` is what was made of the same Rego, for the same package, before.

        Raises:
            PublishError: the source is at fault.
            ToolkitError: the compiler is.
        """
        source = tidy(source)
        check_source(source)
        with self._turns.alone(source.id):
            compiled = known or self._compiled(source)
            self._prove(compiled.wasm, source.data)
        return compiled

    def publish(
        self,
        source: PolicySource,
        *,
        author: str,
        condition: Condition | None = None,
        keep_failure: bool = True,
        compiled: CompiledPolicy | None = None,
        locked: bool = False,
    ) -> Revision:
        """Make a source the active revision; the same content again changes nothing.

        Fetched data stays as long as the data-config asks for the same. With ``locked`` a
        new revision locks the policy, so that it never answers.
        ``compiled`` is what ``compile`` made of this source, when that was done before.

        Raises:
            PublishError: the source is at fault; recorded on the policy if ``keep_failure``.
            ToolkitError: the compiler is; recorded too.
        """
        order = _Order(author=author, data=source.data, condition=condition, keep_failure=keep_failure, locked=locked)
        return self._publish(source, order, compiled)

    def publish_data(self, policy: PolicyId, data: str, *, author: str, condition: Condition | None = None) -> Revision:
        """Give the active revision new data.

        A failure of a newer source stays listed: new data does not repair it.

        Raises:
            PolicyNotFound: there is no such policy.
            InvalidSource: not a JSON object, or no revision that could take it.
        """
        for warning in check_data(data):
            log.warning("%s: %s", policy, warning, extra=_fields("publish.warning", policy, author))
        with self._turns.alone(policy):
            return until_settled(lambda: self._swap_data(policy, data, author, condition))

    def roll_back(self, policy: PolicyId, number: int, *, author: str, condition: Condition | None = None) -> Revision:
        """Publish what a kept revision was as a new one; history only ever grows.

        Its data comes back, too, unless data is fetched and the data-config asks for the same as now.

        Raises:
            PolicyNotFound: there is no such policy.
            RevisionNotFound: it has no such revision, or no longer.
            PublishError: what was good then is not any more.
        """
        old = self._store.revision(policy, number)

        def is_there(record: PolicyRecord | None) -> None:
            # What somebody deletes while this compiles must not come back.
            if record is None:
                raise PolicyNotFound
            if condition is not None:
                condition(record)

        order = _Order(author=author, data=old.data, action="roll-back", condition=is_there, keep_failure=False)
        return self._publish(old.source, order)

    def recompile(self, policy: PolicyId, *, actor: str) -> bool:
        """Publish what the compiler makes of the active source now; False when that is the same as before.

        Source, data, author and a listed failure stay what they are.

        Raises:
            PolicyNotFound: there is no such policy.
            PublishError: it does not compile or load any more; the active revision stays.
            ToolkitError: the compiler is at fault.
        """
        with self._turns.alone(policy):
            return until_settled(lambda: self._remake(policy, actor))

    def delete(self, policy: PolicyId, *, author: str, condition: Condition | None = None) -> None:
        """Remove a policy; PolicyNotFound."""
        with self._turns.alone(policy):
            until_settled(lambda: self._remove(policy, author, condition))
        log.info("%s: deleted by %s", policy, author, extra=_fields("publish.deleted", policy, author))
        self._announce()

    def refuse(self, policy: PolicyId, error: PolicyServerError, *, digest: str, author: str = "") -> None:
        """Record that a source failed; the same failure again is not written again."""
        with self._turns.alone(policy):
            if not until_settled(lambda: self._record_failure(policy, error, digest, author)):
                return
        _warn(policy, error, author)
        self._announce()

    def publish_all(
        self, prepared: Sequence[Prepared], refused: Sequence[Refused], gone: Gone, *, author: str
    ) -> Published:
        """Make sources active, note what is wrong with others, and remove policies: all of it at once, or nothing.

        A source that does not load with the data that was fetched for its policy is refused like
        the others. What is gone already is not missed.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with Batch(self._store, self._journal, self._clock, self._prove) as batch:
            done = until_settled(lambda: batch.write(prepared, refused, gone, author=author))
        for policy, number in done.published.items():
            _say_published(policy, number, "published", author)
        for each in done.refused:
            _warn(each.id, each.error, author)
        for policy in done.deleted:
            log.info("%s: deleted by %s", policy, author, extra=_fields("publish.deleted", policy, author))
        if done.published or done.refused or done.deleted:
            self._announce()
        return done

    def _publish(self, source: PolicySource, order: _Order, compiled: CompiledPolicy | None = None) -> Revision:
        source = tidy(source)
        with self._turns.alone(source.id):
            self._ask_early(source, order)
            try:
                for warning in check_source(source):
                    fields = _fields("publish.warning", source.id, order.author)
                    log.warning("%s: %s", source.id, warning, extra=fields)
                made = compiled or self._compiled(source)
                revision, before = until_settled(lambda: self._swap(source, made, order))
            except (PublishError, ToolkitError) as error:
                digest = source_digest(source)
                if order.keep_failure:
                    self.refuse(source.id, error, digest=digest, author=order.author)
                else:
                    self._journal.note(order.action, source.id, actor=order.author, outcome=error.slug, after=digest)
                raise
        self._tell("published", revision, order.author, before)
        return revision

    def _swap(
        self, source: PolicySource, compiled: CompiledPolicy, order: _Order
    ) -> tuple[Revision, PolicyRecord | None]:
        """Write a revision when it loads with its data; return it, and what was there before."""
        before = self._record(source.id)
        data, digest, is_new = self._consider(source, before, order)
        change = Publication(
            source=source,
            compiled=compiled,
            data=data,
            digest=digest,
            author=order.author,
            at=self._clock(),
            seen=stamp_of(before),
            locked=order.locked,
        )
        if not is_new:
            return self._keep(change), before
        self._prove(compiled.wasm, data)
        changes = {"before": digest_of(before), "after": digest}
        with ExitStack() as records:
            records.enter_context(self._journal.change(order.action, source.id, actor=order.author, **changes))
            if order.locked and not (before is not None and before.locked):
                records.enter_context(self._journal.change("lock", source.id, actor=order.author))
            return self._keep(change), before

    def _swap_data(self, policy: PolicyId, data: str, author: str, condition: Condition | None) -> Revision:
        record = self._store.get(policy)
        active = record.revision
        if active is None:
            raise InvalidSource(f"{policy} has no revision that could take data: its source cannot be published.")
        digest = revision_digest(active.source, data)
        if digest == active.digest:
            return active
        if condition is not None:
            condition(record)
        try:
            compiled = CompiledPolicy(self._store.module(active.manifest.digest), active.manifest)
        except KeyError as error:  # somebody published in between, and the module went with its revision
            raise ChangedMeanwhile from error
        self._prove(compiled.wasm, data)
        change = Publication(
            source=active.source,
            compiled=compiled,
            data=data,
            digest=digest,
            author=author,
            at=self._clock(),
            failure=record.failure,
            seen=record.stamp,
        )
        with self._journal.change("change-data", policy, actor=author, before=active.digest, after=digest):
            revision = self._keep(change)
        self._tell("data published", revision, author, record)
        return revision

    def _remake(self, policy: PolicyId, actor: str) -> bool:
        record = self._store.get(policy)
        active = record.revision
        if active is None:
            return False
        compiled = self._compiler.compile(active.source)
        if compiled.manifest.digest == active.manifest.digest:
            return False
        self._prove(compiled.wasm, active.data)
        change = Publication(
            source=active.source,
            compiled=compiled,
            data=active.data,
            digest=active.digest,
            author=active.author,
            at=self._clock(),
            failure=record.failure,
            seen=record.stamp,
        )
        with self._journal.change("recompile", policy, actor=actor, before=active.digest, after=active.digest):
            revision = self._keep(change)
        self._tell("compiled again", revision, actor, record)
        return True

    def _remove(self, policy: PolicyId, author: str, condition: Condition | None) -> None:
        record = self._store.get(policy)
        if condition is not None:
            condition(record)
        change = Removal(id=policy, actor=author, at=self._clock(), seen=record.stamp)
        with self._journal.change("delete", policy, actor=author, before=digest_of(record)):
            self._store.apply([change])

    def _record_failure(self, policy: PolicyId, error: PolicyServerError, digest: str, author: str) -> bool:
        """Record a failure; False when the same one is recorded already."""
        failure = failure_of(error, digest, self._clock())
        record = self._record(policy)
        if record is not None and is_known(record.failure, failure):
            return False
        self._journal.note("publish", policy, actor=author, outcome=error.slug, after=digest)
        self._store.apply([Refusal(policy, failure, stamp_of(record))])
        return True

    def _keep(self, change: Publication) -> Revision:
        (done,) = self._store.apply([change])
        number = done.number or 0
        return change.revision(number) if done.is_new else self._store.revision(change.id, number)

    def _ask_early(self, source: PolicySource, order: _Order) -> None:
        """Refuse before compiling what may not be made; asked again when nobody else can write."""
        if order.condition is None:
            return
        before = self._record(source.id)
        try:
            self._consider(source, before, order)
        except InvalidSource:  # a data-config that cannot be compared; the checks will say what is wrong
            order.condition(before)

    def _consider(
        self, source: PolicySource, before: PolicyRecord | None, order: _Order
    ) -> tuple[str | None, str, bool]:
        """Return data and digest of the revision to be and whether it is new, if it may be made."""
        active = None if before is None else before.revision
        data = current_data(source, active, order.data)
        digest = revision_digest(source, data)
        is_new = active is None or active.digest != digest
        if is_new and order.condition is not None:
            order.condition(before)
        return data, digest, is_new

    def _compiled(self, source: PolicySource) -> CompiledPolicy:
        """Compile, or take the active module when the Rego is the same: data needs no compiler."""
        record = self._record(source.id)
        active = None if record is None else record.revision
        if active is not None and (active.source.rego, active.source.dialect) == (source.rego, source.dialect):
            try:
                return CompiledPolicy(self._store.module(active.manifest.digest), active.manifest)
            except KeyError:  # somebody published in between, and the module went with its revision
                log.debug("%s: module %s is gone", source.id, active.manifest.digest)
        return self._compiler.compile(source)

    def _record(self, policy: PolicyId) -> PolicyRecord | None:
        return record_of(self._store, policy)

    def _tell(self, what: str, revision: Revision, author: str, before: PolicyRecord | None) -> None:
        old = None if before is None else before.revision
        if old is None or old.number != revision.number:
            _say_published(revision.id, revision.number, what, author)
        elif before is None or before.failure is None:
            return  # nothing was written
        self._announce()


def _say_published(policy: PolicyId, number: int, what: str, author: str) -> None:
    fields = {**_fields("publish.published", policy, author), "revision": number}
    log.info("%s: revision %d %s by %s", policy, number, what, author, extra=fields)


def _warn(policy: PolicyId, error: PolicyServerError, author: str) -> None:
    log.warning("%s: not published: %s", policy, described(error), extra=_fields("publish.failed", policy, author))


def _fields(action: str, policy: PolicyId, author: str) -> dict[str, str]:
    return {"action": action, "policy": str(policy), "author": author}
