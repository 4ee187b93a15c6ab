"""Whatever is published is whole, and what fails changes nothing."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from policy_server.model.audit import AuditFilter
from policy_server.model.change import Applied, Change
from policy_server.model.errors import (
    CompileError,
    InvalidSource,
    PolicyNotFound,
    PreconditionFailed,
    RevisionNotFound,
    StoreUnavailable,
    ToolkitMissing,
)
from policy_server.model.policy import CompiledPolicy, Failure, PolicyId, PolicyRecord, PolicySource, PolicyState
from policy_server.publishing.batch import Gone, Prepared
from policy_server.publishing.digest import source_digest
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.turns import Turns
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("r", "g", "n", "1.0")
SOURCE = PolicySource(ID, "package g.n", data='{"a": 1}', origin="test")
BROKEN = replace(SOURCE, rego="package g.n broken")
CONFIG = '{"url": "h.test", "method": "GET", "period": "1m"}'
SCHEDULED = replace(SOURCE, data_config=CONFIG)


def test_a_good_source_becomes_the_active_revision(publisher, store: MemoryStore, announced: list[int]) -> None:
    """Source, data, module, author and time are kept, and it is announced."""
    revision = publisher.publish(SOURCE, author="me")

    assert store.get(ID).revision == revision
    assert (revision.number, revision.data, revision.author, revision.created_at) == (1, '{"a": 1}', "me", AT)
    assert store.module(revision.manifest.digest) == b"wasm of package g.n"
    assert announced == [store.stamp()]


def test_the_same_content_again_changes_nothing(publisher, store: MemoryStore, announced: list[int]) -> None:
    """No revision, no announcement, no compile."""
    first = publisher.publish(SOURCE, author="me")
    stamp = store.stamp()

    again = publisher.publish(replace(SOURCE, origin="elsewhere"), author="you")

    assert again == first
    assert (store.stamp(), len(announced)) == (stamp, 1)


def test_new_data_needs_no_compiler(publisher, compiler, store: MemoryStore) -> None:
    """The module of the same Rego is used again."""
    publisher.publish(SOURCE, author="me")

    revision = publisher.publish(replace(SOURCE, data='{"a": 2}'), author="me")

    assert (revision.number, revision.data) == (2, '{"a": 2}')
    assert compiler.compiled == ["package g.n"]


def test_a_broken_source_leaves_the_last_good_one(publisher, store: MemoryStore, announced: list[int]) -> None:
    """The failure is listed with file, line and column; the revision stays."""
    good = publisher.publish(SOURCE, author="me")

    with pytest.raises(CompileError):
        publisher.publish(BROKEN, author="me")

    record = store.get(ID)
    assert (record.revision, record.state) == (good, PolicyState.STALE)
    assert record.failure is not None
    assert (record.failure.code, record.failure.message) == ("compile-error", "policy.rego:3:7: it is broken")
    assert announced[-1] == store.stamp()


def test_a_broken_new_policy_is_listed(publisher, store: MemoryStore) -> None:
    """A policy that never worked can be found with its error."""
    with pytest.raises(InvalidSource):
        publisher.publish(replace(SOURCE, data="[]"), author="me")

    record = store.get(ID)
    assert (record.revision, record.state) == (None, PolicyState.FAILED)
    assert record.failure is not None
    assert record.failure.message == "data.json: must be a JSON object, not an array"


def test_the_same_failure_is_written_once(publisher, store: MemoryStore) -> None:
    """A feed that meets it again and again does not wake everybody up."""
    for _ in range(2):
        with pytest.raises(CompileError):
            publisher.publish(BROKEN, author="me")
        stamp = store.stamp()

    assert stamp == 1


def test_a_mended_source_clears_the_failure(publisher, store: MemoryStore) -> None:
    """Even when it is the revision that was active all the time."""
    publisher.publish(SOURCE, author="me")
    with pytest.raises(CompileError):
        publisher.publish(BROKEN, author="me")

    publisher.publish(SOURCE, author="me")

    assert (store.get(ID).failure, store.get(ID).state) == (None, PolicyState.READY)


def test_a_missing_toolkit_is_recorded_too(store: MemoryStore) -> None:
    """Whoever looks at the policy learns why it is not there."""

    class Missing:
        def compile(self, source: PolicySource) -> CompiledPolicy:
            raise ToolkitMissing

    with pytest.raises(ToolkitMissing):
        SourcePublisher(store, Missing(), lambda: AT, lambda: None).publish(SOURCE, author="me")

    failure = store.get(ID).failure
    assert failure is not None
    assert failure.code == "toolkit-missing"


def test_new_data_is_a_new_revision(publisher, store: MemoryStore, announced: list[int]) -> None:
    """The source stays what the author wrote."""
    publisher.publish(SOURCE, author="me")

    revision = publisher.publish_data(ID, '{"a": 2}', author="refresh")

    assert (revision.number, revision.data, revision.source, revision.author) == (2, '{"a": 2}', SOURCE, "refresh")
    assert announced[-1] == store.stamp()


def test_the_same_data_changes_nothing(publisher, store: MemoryStore) -> None:
    """A refresh that brings nothing new leaves no trace."""
    first = publisher.publish(SOURCE, author="me")
    stamp = store.stamp()

    assert publisher.publish_data(ID, '{"a": 1}', author="refresh") == first
    assert store.stamp() == stamp


def test_new_data_does_not_hide_a_failure(publisher, store: MemoryStore) -> None:
    """The newest source still is the one that does not compile."""
    publisher.publish(SOURCE, author="me")
    with pytest.raises(CompileError):
        publisher.publish(BROKEN, author="me")
    failure = store.get(ID).failure

    publisher.publish_data(ID, '{"a": 2}', author="refresh")

    assert (store.get(ID).failure, store.get(ID).state) == (failure, PolicyState.STALE)


@pytest.mark.parametrize("data", ["[]", "{", "null", '{"a": NaN}'])
def test_wrong_data_is_refused(publisher, store: MemoryStore, data: str) -> None:
    """Nothing is recorded on the policy: its source is fine."""
    good = publisher.publish(SOURCE, author="me")

    with pytest.raises(InvalidSource):
        publisher.publish_data(ID, data, author="me")

    assert (store.get(ID).revision, store.get(ID).failure) == (good, None)


def test_data_for_an_unknown_policy_is_refused(publisher) -> None:
    """Data alone is no policy."""
    with pytest.raises(PolicyNotFound):
        publisher.publish_data(ID, "{}", author="me")


def test_data_for_a_policy_that_never_worked_is_refused(publisher) -> None:
    """There is nothing it could be the data of."""
    with pytest.raises(CompileError):
        publisher.publish(BROKEN, author="me")

    with pytest.raises(InvalidSource, match="no revision that could take data"):
        publisher.publish_data(ID, "{}", author="me")


def test_fetched_data_survives_the_same_source(publisher) -> None:
    """A restart or another look at the folder does not undo a refresh."""
    publisher.publish(SCHEDULED, author="me")
    fetched = publisher.publish_data(ID, '{"fetched": 1}', author="refresh")

    assert publisher.publish(SCHEDULED, author="me") == fetched


def test_fetched_data_survives_new_code(publisher) -> None:
    """New Rego answers with the data that was fetched last."""
    publisher.publish(SCHEDULED, author="me")
    publisher.publish_data(ID, '{"fetched": 1}', author="refresh")
    respelled = '{"METHOD": "get", "url": "https://h.test", "period": "60s"}'

    revision = publisher.publish(
        replace(SCHEDULED, rego="package g.n # new", data='{"a": 9}', data_config=respelled), author="me"
    )

    assert (revision.number, revision.data) == (3, '{"fetched": 1}')


@pytest.mark.parametrize("config", [None, CONFIG.replace("h.test", "other.test")])
def test_another_data_config_starts_from_the_authors_data(publisher, config: str | None) -> None:
    """Data from one source is not kept as the data of another."""
    publisher.publish(SCHEDULED, author="me")
    publisher.publish_data(ID, '{"fetched": 1}', author="refresh")

    assert publisher.publish(replace(SCHEDULED, data_config=config), author="me").data == '{"a": 1}'


def test_uploaded_data_goes_with_a_new_source(publisher) -> None:
    """Without a data-config the author's data.json is the truth."""
    publisher.publish(SOURCE, author="me")
    publisher.publish_data(ID, '{"uploaded": 1}', author="admin")

    assert publisher.publish(SOURCE, author="me").data == '{"a": 1}'


def test_a_deleted_policy_is_gone(publisher, store: MemoryStore, announced: list[int]) -> None:
    """And that is announced; what is not there cannot be deleted."""
    publisher.publish(SOURCE, author="me")

    publisher.delete(ID, author="me")

    assert announced[-1] == store.stamp()
    with pytest.raises(PolicyNotFound):
        publisher.delete(ID, author="me")


def test_a_deletion_says_who_and_when(publisher, store: MemoryStore) -> None:
    """Whoever follows the events learns it."""
    publisher.publish(SOURCE, author="me")
    publisher.delete(ID, author="you")

    event = store.outbox.events(after=0, limit=9)[-1]
    assert (event.type, event.actor, event.at) == ("deleted", "you", AT)


def test_rolling_back_publishes_an_old_source_as_a_new_revision(publisher, store: MemoryStore) -> None:
    """History only grows; the newest one is by whoever rolled back."""
    first = publisher.publish(SOURCE, author="me")
    publisher.publish(replace(SOURCE, rego=SOURCE.rego + "\n# newer\n"), author="me")

    back = publisher.roll_back(ID, 1, author="you")

    assert (back.number, back.source, back.author) == (3, first.source, "you")
    assert store.get(ID).revision == back
    with pytest.raises(RevisionNotFound):
        publisher.roll_back(ID, 9, author="you")


def test_rolling_back_does_not_bring_back_what_is_deleted_meanwhile(publisher, store: MemoryStore) -> None:
    """Compiling takes time, in which others write."""
    publisher.publish(SOURCE, author="me")
    publisher.publish(replace(SOURCE, rego=SOURCE.rego + "\n# newer\n"), author="me")
    publisher._prove = lambda _wasm, _data: store.delete(ID) if store.stamp() == 2 else None

    with pytest.raises(PolicyNotFound):
        publisher.roll_back(ID, 1, author="you")

    assert store.stamp() == 3


def test_a_lock_survives(publisher, store: MemoryStore) -> None:
    """New code does not unlock."""
    publisher.publish(SOURCE, author="me")
    store.lock(ID, AT)

    publisher.publish(replace(SOURCE, rego="package g.n # new"), author="me")

    assert store.get(ID).locked


def test_the_older_of_two_writers_does_not_win(store: MemoryStore, compiler) -> None:
    """A compile that takes long does not overwrite a later source: the later one waits for it."""
    begun, waiting = threading.Event(), threading.Event()

    class Slow:
        def compile(self, source: PolicySource) -> CompiledPolicy:
            if source.rego == "slow":
                begun.set()
                waiting.wait(10)
            return compiler.compile(source)

    class Watched(Turns):
        def alone(self, policy: PolicyId) -> AbstractContextManager[None]:
            if begun.is_set():
                waiting.set()
            return super().alone(policy)

    publisher = SourcePublisher(store, Slow(), lambda: AT, lambda: None, turns=Watched())
    first = threading.Thread(target=publisher.publish, args=(replace(SOURCE, rego="slow"),), kwargs={"author": "1"})
    first.start()
    assert begun.wait(10)
    publisher.publish(replace(SOURCE, rego="quick"), author="2")
    first.join(10)

    active = store.get(ID).revision
    assert active is not None
    assert (active.number, active.source.rego, compiler.compiled) == (2, "quick", ["slow", "quick"])


class Raced(MemoryStore):
    """A store in which another process is faster, as often as it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.races: list[Callable[[], object]] = []

    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Let another process write first."""
        if self.races:
            self.races.pop()()
        return super().apply(changes)


@pytest.mark.parametrize("write", ["publish", "publish_data", "delete", "publish_all"])
def test_whoever_comes_second_decides_again(compiler, write: str) -> None:
    """What another process does between reading and writing a revision is never undone unseen."""
    store = Raced()
    publisher = SourcePublisher(store, compiler, lambda: AT, lambda: None)
    publisher.publish(SOURCE, author="me")
    seen: list[bool] = []

    def look(record: PolicyRecord | None) -> None:
        assert record is not None
        seen.append(record.locked)

    store.races = [lambda: store.lock(ID, AT)]
    if write == "publish_all":
        newer = replace(SOURCE, data="{}")
        batch = [Prepared(ID, lambda: (newer, publisher.compile(newer)))]
        publisher.publish_all(batch, [], Gone(), author="me")
        seen = [False, True]
    else:
        arguments = {"publish": (replace(SOURCE, data="{}"),), "publish_data": (ID, "{}"), "delete": (ID,)}[write]
        getattr(publisher, write)(*arguments, author="me", condition=look)

    assert seen[-1] is True
    if write == "delete":
        assert [change.what for change in store.changes(0)] == ["deleted"]
    else:
        record = store.get(ID)
        assert record.revision is not None
        assert (record.revision.number, record.revision.data, record.locked) == (2, "{}", True)


def test_two_processes_that_make_the_same_policy_make_two_revisions(compiler) -> None:
    """Of a policy that is new to both, the second becomes revision 2, and history shows both."""
    store = Raced()
    one, two = (SourcePublisher(store, compiler, lambda: AT, lambda: None) for _ in range(2))
    store.races = [lambda: two.publish(replace(SOURCE, rego="theirs"), author="2")]

    one.publish(replace(SOURCE, rego="mine"), author="1")

    assert [(each.number, each.author) for each in store.revisions(ID, limit=9)] == [(2, "1"), (1, "2")]


def test_a_batch_that_is_overtaken_plans_only_that_again_and_records_once(compiler) -> None:
    """What nobody touched is not read anew, and no attempt fills the audit."""
    store = Raced()
    publisher = SourcePublisher(store, compiler, lambda: AT, lambda: None)
    ids = [PolicyId("r", "g", f"n{number}", "1") for number in range(4)]
    loaded: list[PolicyId] = []

    def load(policy: PolicyId) -> tuple[PolicySource, CompiledPolicy]:
        loaded.append(policy)
        source = PolicySource(policy, f"package g.{policy.name}")
        return source, compiler.compile(source)

    store.races = [lambda: store.fail(ids[0], Failure("c", "m", AT, "d"))]
    prepared = [Prepared(policy, partial(load, policy)) for policy in ids]

    done = publisher.publish_all(prepared, [], Gone(), author="git")

    assert list(done.published) == ids
    assert [loaded.count(policy) for policy in ids] == [4, 3, 3, 3]  # to plan, and to write in two attempts
    records = store.audit.find(AuditFilter(), limit=99).records
    assert sorted((each.subject, each.outcome) for each in records) == [(str(policy), "ok") for policy in ids]


def test_a_batch_that_cannot_be_written_is_recorded_as_that(compiler) -> None:
    """Each change has a second record with the reason."""

    class Away(MemoryStore):
        def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
            raise StoreUnavailable

    store = Away()
    publisher = SourcePublisher(store, compiler, lambda: AT, lambda: None)

    with pytest.raises(StoreUnavailable):
        publisher.publish_all([Prepared(ID, lambda: (SOURCE, compiler.compile(SOURCE)))], [], Gone(), author="git")

    records = store.audit.find(AuditFilter(), limit=9).records
    assert sorted(each.outcome for each in records) == ["ok", StoreUnavailable.slug]


def test_trying_again_has_an_end(compiler) -> None:
    """A policy that others change all the time is an error, and nothing was written."""
    store = Raced()
    publisher = SourcePublisher(store, compiler, lambda: AT, lambda: None)
    publisher.publish(SOURCE, author="me")
    store.races = [lambda: store.unlock(ID, AT), lambda: store.lock(ID, AT)] * 100

    with pytest.raises(StoreUnavailable, match="Others write all the time"):
        publisher.publish(replace(SOURCE, data="{}"), author="me")
    assert [each.number for each in store.revisions(ID, limit=9)] == [1]


def test_data_that_does_not_load_is_found_at_publish(store: MemoryStore, compiler) -> None:
    """Source and data are proven together; the last good revision stays, whoever brings the data."""
    seen: list[str | None] = []

    def prove(_wasm: bytes, data: str | None) -> None:
        seen.append(data)
        if data is not None and "huge" in data:
            raise InvalidSource("the policy does not load with its data")

    publisher = SourcePublisher(store, compiler, lambda: AT, lambda: None, prove=prove)
    good = publisher.publish(replace(SOURCE, data='{"a": 1}'), author="me")
    publisher.publish(replace(SOURCE, data='{"a": 1}'), author="me")
    with pytest.raises(InvalidSource):
        publisher.publish(replace(SOURCE, data='{"huge": 1}'), author="me")
    with pytest.raises(InvalidSource):
        publisher.publish_data(ID, '{"huge": 2}', author="refresh")

    record = store.get(ID)
    assert seen == ['{"a": 1}', '{"huge": 1}', '{"huge": 2}']
    assert (record.revision, record.state) == (good, PolicyState.STALE)
    assert record.failure is not None
    assert "does not load with its data" in record.failure.message


def test_a_condition_is_asked_only_when_something_would_change(publisher) -> None:
    """With what is there; a repeated request is answered like the first."""
    seen: list[PolicyRecord | None] = []
    publisher.publish(SOURCE, author="me", condition=seen.append)
    assert seen == [None, None]  # before compiling, and when nobody else can write

    seen.clear()
    publisher.publish(SOURCE, author="me", condition=seen.append)
    publisher.publish_data(ID, '{"a": 1}', author="me", condition=seen.append)
    publisher.roll_back(ID, 1, author="me", condition=seen.append)
    assert seen == []


@pytest.mark.parametrize("change", ["publish", "data", "roll back", "delete"])
def test_what_a_condition_refuses_is_not_changed(publisher, compiler, store: MemoryStore, change: str) -> None:
    """Nothing is compiled, written, recorded or listed as failed."""
    publisher.publish(SOURCE, author="me")
    publisher.publish_data(ID, '{"a": 2}', author="me")
    before, compiled = store.get(ID), list(compiler.compiled)

    def refuse(_record: PolicyRecord | None) -> None:
        raise PreconditionFailed

    with pytest.raises(PreconditionFailed):
        {
            "publish": lambda: publisher.publish(BROKEN, author="me", condition=refuse),
            "data": lambda: publisher.publish_data(ID, "{}", author="me", condition=refuse),
            "roll back": lambda: publisher.roll_back(ID, 1, author="me", condition=refuse),
            "delete": lambda: publisher.delete(ID, author="me", condition=refuse),
        }[change]()

    assert (store.get(ID), compiler.compiled) == (before, compiled)
    assert len(store.audit.find(AuditFilter(), limit=10).records) == 2


def test_rolling_back_brings_the_data_back(publisher, store: MemoryStore) -> None:
    """Also data that was published alone, which the source does not know."""
    publisher.publish(SOURCE, author="me")
    publisher.publish_data(ID, '{"a": 2}', author="me")
    publisher.publish(replace(SOURCE, data='{"a": 3}'), author="me")

    revision = publisher.roll_back(ID, 2, author="you")

    assert (revision.number, revision.data, revision.author) == (4, '{"a": 2}', "you")
    assert revision.digest == store.revision(ID, 2).digest


def test_rolling_back_keeps_fetched_data(publisher) -> None:
    """What was fetched last is newer than what was fetched then."""
    publisher.publish(SCHEDULED, author="me")
    publisher.publish_data(ID, '{"a": 2}', author="refresh")
    publisher.publish(replace(SCHEDULED, output_schema="true"), author="me")
    publisher.publish_data(ID, '{"a": 3}', author="refresh")

    revision = publisher.roll_back(ID, 2, author="you")

    assert (revision.source.output_schema, revision.data) == (None, '{"a": 3}')


def test_a_failure_can_be_left_out_of_the_listing(publisher, store: MemoryStore) -> None:
    """Whoever hears of it at once needs no mark on the policy; the audit has it."""
    good = publisher.publish(SOURCE, author="me")

    with pytest.raises(CompileError):
        publisher.publish(BROKEN, author="you", keep_failure=False)

    assert (store.get(ID).revision, store.get(ID).failure) == (good, None)
    record = store.audit.find(AuditFilter(actor="you"), limit=1).records[0]
    assert (record.action, record.outcome) == ("publish", "compile-error")


def test_changes_are_recorded_with_digests(publisher, store: MemoryStore) -> None:
    """Before and after; what changes nothing leaves no record; a failure that is known leaves none again."""
    first = publisher.publish(SOURCE, author="me")
    publisher.publish(SOURCE, author="me")
    second = publisher.publish_data(ID, '{"a": 2}', author="refresh")
    for _ in range(2):
        with pytest.raises(CompileError):
            publisher.publish(BROKEN, author="folder:x")
    publisher.delete(ID, author="you")

    records = [
        (each.action, each.actor, each.outcome, each.before, each.after)
        for each in store.audit.find(AuditFilter(), limit=10).records
    ]
    assert sorted(records, key=str) == sorted(
        [
            ("publish", "me", "ok", None, first.digest),
            ("change-data", "refresh", "ok", first.digest, second.digest),
            ("publish", "folder:x", "compile-error", None, source_digest(BROKEN)),
            ("delete", "you", "ok", second.digest, None),
        ],
        key=str,
    )
