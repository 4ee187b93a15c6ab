"""What every store promises about the history of a policy."""

import pytest
from contract_samples import NOON, OTHER, POLICY, active, compiled, failure, later, publish, source

from policy_server.model.errors import InvalidParameter, PolicyNotFound, RevisionNotFound
from policy_server.ports import Store


def test_revisions_are_listed_newest_first_with_what_tells_them_apart(store: Store) -> None:
    """Number, digests, author, time and origin; no texts."""
    made = [publish(store, mark=mark, at=later(number)) for number, mark in enumerate("abc")]

    listed = store.revisions(POLICY, limit=10)

    assert [
        (each.number, each.digest, each.author, each.created_at, each.origin, each.module, each.source_digest, each.id)
        for each in listed
    ] == [
        (
            each.number,
            each.digest,
            "ada",
            each.created_at,
            "test",
            each.manifest.digest,
            each.manifest.source_digest,
            POLICY,
        )
        for each in reversed(made)
    ]


def test_history_is_read_page_by_page(store: Store) -> None:
    """The next page begins below the last number seen."""
    for mark in "abcde":
        publish(store, mark=mark)

    first = store.revisions(POLICY, limit=2)
    second = store.revisions(POLICY, limit=10, before=first[-1].number)

    assert [each.number for each in (*first, *second)] == [5, 4, 3, 2, 1]
    with pytest.raises(InvalidParameter):
        store.revisions(POLICY, limit=0)


def test_an_old_revision_comes_back_whole(store: Store) -> None:
    """Source, data and manifest, as they were; its module is still there."""
    first = publish(store, mark="a", data='{"a": "' + "x" * 5000 + '"}', own='{"own": 1}')
    publish(store, mark="b", data="{}")

    assert first == store.revision(POLICY, 1)
    assert compiled("a").wasm == store.module(first.manifest.digest)
    assert active(store).number == 2


def test_only_as_many_revisions_stay_as_were_asked_for(short_store: Store) -> None:
    """Of five, three; the others are not found any more."""
    for mark in "abcde":
        publish(short_store, mark=mark)

    assert [each.number for each in short_store.revisions(POLICY, limit=10)] == [5, 4, 3]
    with pytest.raises(RevisionNotFound, match="no revision 2, or no longer"):
        short_store.revision(POLICY, 2)


def test_a_policy_that_never_was_good_has_an_empty_history(store: Store) -> None:
    """It is there all the same."""
    store.fail(POLICY, failure())

    assert list(store.revisions(POLICY, limit=10)) == []
    with pytest.raises(RevisionNotFound):
        store.revision(POLICY, 1)


def test_the_history_of_an_unknown_policy_is_not_found(store: Store) -> None:
    """Nor is that of a deleted one; a new one with its name starts afresh."""
    publish(store, OTHER)
    publish(store)
    publish(store, mark="b")
    store.delete(POLICY)

    with pytest.raises(PolicyNotFound):
        store.revisions(POLICY, limit=10)
    with pytest.raises(PolicyNotFound):
        store.revision(POLICY, 1)

    store.publish(source(), compiled("c"), data=None, digest="c", author="bob", at=NOON)
    assert [(each.number, each.author) for each in store.revisions(POLICY, limit=10)] == [(1, "bob")]


def test_nobody_else_keeps_policies_in_a_new_store(store: Store) -> None:
    """What is published here is not foreign."""
    publish(store)
    store.fail(OTHER, failure())

    assert list(store.foreign()) == []


def test_tidying_up_takes_nothing_that_is_needed(store: Store) -> None:
    """Every kept revision stays whole, and a second time is as good as the first."""
    made = publish(store, mark="a", data='"' + "x" * 2000 + '"')
    publish(store, mark="b")

    store.tidy()
    store.tidy()

    assert made == store.revision(POLICY, 1)
    for mark in "ab":
        assert compiled(mark).wasm == store.module(compiled(mark).manifest.digest)
