"""What every store promises about changes that are made together."""

from collections.abc import Iterator
from typing import Any

import pytest
from contract_processes import Worker
from contract_samples import NOON, compiled, failure, later, publish, refresh, source
from contract_worker import data_of

from policy_server.model.change import Change, Publication, Refusal, Removal
from policy_server.model.errors import ChangedMeanwhile, PolicyNotFound
from policy_server.model.policy import PolicyFilter, PolicyId, PolicyState
from policy_server.ports import Store
from policy_server.storage.opening import open_store


def policy(number: int) -> PolicyId:
    """Name one of several policies."""
    return PolicyId("batch", "g", f"n{number}", "1")


def publication(number: int, mark: str = "a", *, seen: int | None = None, data: str | None = '{"a": 1}') -> Publication:
    """Make a publication of one of them."""
    draft = source(policy(number), mark=mark, data=data)
    return Publication(
        source=draft, compiled=compiled(mark), data=data, digest=f"digest-{mark}", author="ada", at=NOON, seen=seen
    )


def everything(store: Store) -> tuple[object, ...]:
    """Return all that a batch could have changed."""
    page = store.find(PolicyFilter(), limit=100)
    events = store.outbox.events(after=0, limit=100)
    return store.stamp(), page.records, list(store.changes(0)), store.locks(), events, store.refresh_states()


def test_changes_of_several_policies_are_made_together(store: Store) -> None:
    """New, changed, refused, unchanged and removed at once, with one stamp and one event each."""
    for number in range(4):
        publish(store, policy(number))
    store.lock(policy(1), NOON)
    store.save_refresh(refresh(policy(3)))
    before = store.stamp()

    done = store.apply(
        iter(
            [
                publication(9),
                publication(0, "b", seen=store.get(policy(0)).stamp),
                publication(2),
                Refusal(policy(1), failure()),
                Removal(id=policy(3), actor="ada", at=later(5)),
            ]
        )
    )

    assert [(each.number, each.is_new) for each in done] == [
        (1, True),
        (2, True),
        (1, False),
        (None, True),
        (None, True),
    ]
    records = store.find(PolicyFilter(), limit=100).records
    assert [record.id for record in records] == [policy(0), policy(1), policy(2), policy(9)]
    assert [record.revision.number for record in records if record.revision] == [2, 1, 1, 1]
    assert [record.state for record in records] == [*[PolicyState.READY], PolicyState.STALE, *[PolicyState.READY] * 2]
    assert store.locks() == {policy(1)}
    assert store.refresh_states() == []
    told = [(change.id, change.what) for change in store.changes(before)]
    expected = [(9, "published"), (0, "published"), (1, "failed"), (3, "deleted")]
    assert told == [(policy(number), what) for number, what in expected]
    events = store.outbox.events(after=before, limit=9)
    assert [(event.stamp, event.policy) for event in events] == [
        (before + place, policy(number)) for place, (number, _) in enumerate(expected, 1)
    ]
    assert store.stamp() == before + 4


@pytest.mark.parametrize("bad", ["seen", "seen-new", "missing"])
def test_a_batch_that_cannot_be_made_changes_nothing(store: Store, bad: str) -> None:
    """One change that is refused takes all others with it, whatever place it has."""
    publish(store, policy(0))
    store.lock(policy(0), NOON)
    before = everything(store)
    refused: Change = {
        "seen": publication(0, "b", seen=store.get(policy(0)).stamp - 1),
        "seen-new": publication(5, "b", seen=1),
        "missing": Removal(id=policy(5)),
    }[bad]

    with pytest.raises(PolicyNotFound if bad == "missing" else ChangedMeanwhile):
        store.apply([publication(1), refused, publication(2)])

    assert everything(store) == before
    store.apply([publication(1), publication(2)])
    assert store.stamp() == 4


def test_what_was_seen_counts_for_every_kind_of_change(store: Store) -> None:
    """A lock, a failure, a publication in between: whoever decided before decides again."""
    publish(store, policy(0))
    old = store.get(policy(0)).stamp
    store.lock(policy(0), NOON)

    changes: list[Change] = [
        publication(0, "b", seen=old),
        publication(0, "a", seen=old),
        Refusal(policy(0), failure(), old),
        Removal(id=policy(0), seen=old),
    ]
    for change in changes:
        with pytest.raises(ChangedMeanwhile):
            store.apply([change])

    with pytest.raises(ChangedMeanwhile):
        store.apply([publication(0, "b", seen=0)])
    store.delete(policy(0))
    with pytest.raises(ChangedMeanwhile):
        store.apply([publication(0, "b", seen=old + 1)])
    assert store.apply([publication(0, "b", seen=0)])[0].number == 1


def test_a_failure_stays_listed_when_a_publication_says_so(store: Store) -> None:
    """New data does not repair a newer source; a publication without failure does."""
    publish(store, policy(0))
    store.fail(policy(0), failure())
    wrong = store.get(policy(0)).failure
    stale = Publication(
        source=source(policy(0)),
        compiled=compiled(),
        data='{"b": 2}',
        digest="digest-data",
        author="ada",
        at=NOON,
        failure=wrong,
    )

    store.apply([stale])

    record = store.get(policy(0))
    assert (record.state, record.failure) == (PolicyState.STALE, wrong)
    store.publish(stale.source, compiled(), data=stale.data, digest=stale.digest, author="ada", at=NOON)
    assert store.get(policy(0)).failure is None


def test_the_same_content_with_another_module_is_a_new_revision(store: Store) -> None:
    """A newer compiler may make something else of the same source."""
    publish(store, policy(0), mark="a")
    again = publication(0, "a")
    store.apply([again])
    newer = Publication(
        source=again.source,
        compiled=compiled("made-by-a-newer-one"),
        data=again.data,
        digest=again.digest,
        author="upgrade",
        at=later(1),
    )

    (done,) = store.apply([newer])

    assert (done.number, done.is_new) == (2, True)
    assert store.module(newer.compiled.manifest.digest) == newer.compiled.wasm
    assert store.outbox.events(after=1, limit=9)[0].changed == ("module",)


def test_a_batch_may_be_bigger_than_a_document(store: Store) -> None:
    """Two thousand policies with documents of their own are one batch; nothing is left over when they go."""
    many = 600

    def made() -> Iterator[Publication]:
        for number in range(many):
            yield publication(number, f"m{number}", data='{"filling": "' + f"{number} " * 2000 + '"}')

    store.apply(made())

    assert store.stamp() == many
    assert len(store.changes(0)) == many
    record = store.get(policy(many - 1))
    assert record.revision is not None
    assert record.revision.data == '{"filling": "' + f"{many - 1} " * 2000 + '"}'
    assert store.module(record.revision.manifest.digest) == compiled(f"m{many - 1}").wasm
    store.apply(Removal(id=policy(number)) for number in range(many))
    assert store.find(PolicyFilter(), limit=9).records == ()
    with pytest.raises(KeyError):
        store.module(record.revision.manifest.digest)


@pytest.mark.parametrize("also", ["refused", "changed"])
def test_what_one_policy_of_a_batch_lets_go_another_may_still_need(store: Store, also: str) -> None:
    """Versions share modules: one is removed, and the other, in the same batch, goes on with what it has."""
    for number in range(2):
        store.apply([publication(number)])

    store.apply([Refusal(policy(0), failure()) if also == "refused" else publication(0, "b"), Removal(id=policy(1))])

    first = store.revision(policy(0), 1)
    assert store.module(first.manifest.digest) == compiled().wasm


def test_nobody_ever_sees_a_part_of_a_batch(shared_url: str) -> None:
    """While another process publishes batches, every look at the store shows whole ones."""
    store = open_store(shared_url)
    with Worker(shared_url, "batches", "25") as writer:
        writer.wait_ready()
        writer.tell("go")
        seen = set()
        while not seen or max(seen) < 24:
            stamp = store.stamp()
            records = store.find(PolicyFilter(repository="batch"), limit=100).records
            seen |= (marks := marks_of(records))
            assert len(marks) <= 1
            assert len(records) in (0, 8)
            changes = [change for change in store.changes(stamp) if change.id.repository == "batch"]
            assert len(changes) % 8 == 0
        writer.finish()
    assert len(store.outbox.events(after=0, limit=1000)) == 200
    store.close()


def marks_of(records: Any) -> set[int]:
    """Return which batches some policies come from."""
    return {int(record.revision.digest.removeprefix("b")) for record in records}


@pytest.mark.parametrize("after", [0, 3, 8])
def test_a_writer_killed_in_a_batch_leaves_all_or_nothing_of_it(shared_url: str, after: int) -> None:
    """The last batch it acknowledged, or the whole next one; and the next writer goes on."""
    with Worker(shared_url, "batches", "1000") as writer:
        writer.wait_ready()
        writer.tell("go")
        said = [writer.hear() for _ in range(after)] + writer.kill()

    store = open_store(shared_url)
    records = store.find(PolicyFilter(repository="batch"), limit=100).records
    marks = marks_of(records)
    acknowledged = said[-1]["batch"] if said else -1
    assert marks in ({acknowledged + 1}, {acknowledged} if said else set())
    assert len(records) in (0, 8)
    for record in records:
        assert record.revision is not None
        assert record.revision.data == data_of(record.revision.digest)
        assert store.module(record.revision.manifest.digest)
    assert len(store.outbox.events(after=0, limit=10000)) == store.stamp()
    assert store.stamp() % 8 == 0
    store.apply([publication(0)])
    store.close()
