"""The one door for all writers: check, compile, keep, announce."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policy_server.audit.journal import Journal
from policy_server.model.errors import InvalidSource, PolicyNotFound, PolicyServerError, PublishError, ToolkitError
from policy_server.model.policy import CompiledPolicy, Failure, PolicyId, PolicyRecord, PolicySource, Revision
from policy_server.ports import Clock, Compiler, Condition, Store
from policy_server.publishing.checks import check_data, check_source, tidy
from policy_server.publishing.config import config_digest, parse_config
from policy_server.publishing.digest import revision_digest, source_digest
from policy_server.publishing.document import explain
from policy_server.publishing.turns import Turns

_LONGEST: Final = 8000
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How a source is to be published; ``data`` is its own document, or that of the revision it is taken from."""

    author: str
    data: str | None
    action: str = "publish"
    condition: Condition | None = None
    keep_failure: bool = True


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
        self._turns = turns or Turns(store, clock)
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
    ) -> Revision:
        """Make a source the active revision; the same content again changes nothing.

        Fetched data stays as long as the data-config asks for the same.
        ``compiled`` is what ``compile`` made of this source, when that was done before.

        Raises:
            PublishError: the source is at fault; recorded on the policy if ``keep_failure``.
            ToolkitError: the compiler is; recorded too.
        """
        order = _Order(author=author, data=source.data, condition=condition, keep_failure=keep_failure)
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
        with self._turns.swap(policy) as confirm:
            record = self._store.get(policy)
            active = record.revision
            if active is None:
                raise InvalidSource(f"{policy} has no revision that could take data: its source cannot be published.")
            digest = revision_digest(active.source, data)
            if digest == active.digest:
                return active
            if condition is not None:
                condition(record)
            compiled = CompiledPolicy(self._store.module(active.manifest.digest), active.manifest)
            self._prove(compiled.wasm, data)
            confirm()
            with self._journal.change("change-data", policy, actor=author, before=active.digest, after=digest):
                revision = self._store.publish(
                    active.source, compiled, data=data, digest=digest, author=author, at=self._clock()
                )
            if record.failure is not None:
                self._store.fail(policy, record.failure)
        self._tell("data published", revision, author, record)
        return revision

    def roll_back(self, policy: PolicyId, number: int, *, author: str, condition: Condition | None = None) -> Revision:
        """Publish what a kept revision was as a new one; history only ever grows.

        Its data comes back, too, unless data is fetched and the data-config asks for the same as now.

        Raises:
            PolicyNotFound: there is no such policy.
            RevisionNotFound: it has no such revision, or no longer.
            PublishError: what was good then is not any more.
        """
        old = self._store.revision(policy, number)
        order = _Order(author=author, data=old.data, action="roll-back", condition=condition, keep_failure=False)
        return self._publish(old.source, order)

    def delete(self, policy: PolicyId, *, author: str, condition: Condition | None = None) -> None:
        """Remove a policy; PolicyNotFound."""
        with self._turns.swap(policy) as confirm:
            record = self._store.get(policy)
            if condition is not None:
                condition(record)
            confirm()
            with self._journal.change("delete", policy, actor=author, before=_digest(record)):
                self._store.delete(policy, actor=author, at=self._clock())
        log.info("%s: deleted by %s", policy, author, extra=_fields("publish.deleted", policy, author))
        self._announce()

    def refuse(self, policy: PolicyId, error: PolicyServerError, *, digest: str, author: str = "") -> None:
        """Record that a source failed; the same failure again is not written again."""
        message = explain(error.message, error.problems)[:_LONGEST]
        failure = Failure(error.slug, message, self._clock(), digest)
        with self._turns.alone(policy):
            record = self._record(policy)
            known = None if record is None else record.failure
            if known is not None and _same(known, failure):
                return
            self._journal.note("publish", policy, actor=author, outcome=error.slug, after=digest)
            self._store.fail(policy, failure)
        log.warning("%s: not published: %s", policy, message, extra=_fields("publish.failed", policy, author))
        self._announce()

    def _publish(self, source: PolicySource, order: _Order, compiled: CompiledPolicy | None = None) -> Revision:
        source = tidy(source)
        with self._turns.alone(source.id):
            self._ask_early(source, order)
            try:
                for warning in check_source(source):
                    fields = _fields("publish.warning", source.id, order.author)
                    log.warning("%s: %s", source.id, warning, extra=fields)
                revision, before = self._swap(source, compiled or self._compiled(source), order)
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
        with self._turns.swap(source.id) as confirm:
            before = self._record(source.id)
            data, digest, is_new = self._consider(source, before, order)
            if not is_new:
                return self._keep(source, compiled, order, data, digest), before
            self._prove(compiled.wasm, data)
            confirm()
            changes = {"before": _digest(before), "after": digest}
            with self._journal.change(order.action, source.id, actor=order.author, **changes):
                return self._keep(source, compiled, order, data, digest), before

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
        data = _current_data(source, active, order.data)
        digest = revision_digest(source, data)
        is_new = active is None or active.digest != digest
        if is_new and order.condition is not None:
            order.condition(before)
        return data, digest, is_new

    def _keep(
        self, source: PolicySource, compiled: CompiledPolicy, order: _Order, data: str | None, digest: str
    ) -> Revision:
        return self._store.publish(source, compiled, data=data, digest=digest, author=order.author, at=self._clock())

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
        try:
            return self._store.get(policy)
        except PolicyNotFound:
            return None

    def _tell(self, what: str, revision: Revision, author: str, before: PolicyRecord | None) -> None:
        old = None if before is None else before.revision
        if old is None or old.number != revision.number:
            log.info(
                "%s: revision %d %s by %s",
                revision.id,
                revision.number,
                what,
                author,
                extra={**_fields("publish.published", revision.id, author), "revision": revision.number},
            )
        elif before is None or before.failure is None:
            return  # nothing was written
        self._announce()


def _current_data(source: PolicySource, active: Revision | None, own: str | None) -> str | None:
    """Return the data a new revision answers with: what was fetched, or else its own."""
    if source.data_config is None or active is None or active.source.data_config is None:
        return own
    if active.data == active.source.data:
        return own  # nothing was fetched yet
    same = config_digest(parse_config(source.data_config)) == config_digest(parse_config(active.source.data_config))
    return active.data if same else own


def _digest(record: PolicyRecord | None) -> str | None:
    return None if record is None or record.revision is None else record.revision.digest


def _same(known: Failure, new: Failure) -> bool:
    return (known.code, known.message, known.source_digest) == (new.code, new.message, new.source_digest)


def _fields(action: str, policy: PolicyId, author: str) -> dict[str, str]:
    return {"action": action, "policy": str(policy), "author": author}
