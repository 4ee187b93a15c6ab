"""What every store promises about policies, revisions, failures and locks."""

from datetime import datetime, timedelta, timezone

import pytest
from contract_samples import NOON, OTHER, POLICY, active, compiled, failure, later, publish, refresh, source

from policy_server.model.change import Publication
from policy_server.model.errors import AlreadyLocked, NotLocked, PolicyNotFound
from policy_server.model.policy import PolicyFilter, PolicyId, PolicyState
from policy_server.ports import Store


def test_a_published_policy_comes_back_as_it_was_given(store: Store) -> None:
    """Every part of the source, the data and the manifest survives."""
    draft = source(data='{"own": 1}')

    made = store.publish(draft, compiled(), data='{"fetched": 2}', digest="d", author="ada", at=NOON)

    record = store.get(POLICY)
    assert made == record.revision
    assert (1, draft, compiled().manifest) == (made.number, made.source, made.manifest)
    assert (made.data, made.digest, made.author, made.created_at) == ('{"fetched": 2}', "d", "ada", NOON)
    assert (
        record.id,
        record.locked,
        record.state,
        record.failure,
        record.updated_at,
    ) == (POLICY, False, PolicyState.READY, None, NOON)


def test_absent_parts_stay_absent_and_empty_ones_empty(store: Store) -> None:
    """None and the empty text are not confused."""
    publish(store, POLICY, data=None)
    publish(store, OTHER, data="")

    assert active(store).data is None
    assert active(store, OTHER).data == ""


def test_a_datetime_in_any_zone_comes_back_as_the_same_moment_in_utc(store: Store) -> None:
    """Times keep their microseconds and have a zone."""
    tokyo = timezone(timedelta(hours=9))
    at = datetime(2026, 1, 1, 3, 4, 5, 678901, tzinfo=tokyo)

    made = publish(store, at=at)

    assert at == made.created_at == store.get(POLICY).updated_at
    assert timedelta(0) == store.get(POLICY).updated_at.utcoffset() == made.created_at.utcoffset()


def test_a_datetime_without_a_zone_is_refused_and_nothing_is_kept(store: Store) -> None:
    """A time that could mean anything is a mistake of the caller."""
    with pytest.raises(ValueError, match="zone"):
        publish(store, at=NOON.replace(tzinfo=None))

    with pytest.raises(PolicyNotFound):
        store.get(POLICY)


def test_revisions_count_up_from_one(store: Store) -> None:
    """Each new content gets the next number and becomes active."""
    numbers = [publish(store, mark=mark).number for mark in "abc"]

    assert numbers == [1, 2, 3]
    assert active(store).number == 3


def test_numbers_of_policies_are_independent(store: Store) -> None:
    """Each policy counts for itself."""
    publish(store, POLICY, mark="a")

    assert publish(store, OTHER, mark="b").number == 1


def test_publishing_the_active_content_again_changes_nothing(store: Store) -> None:
    """The same digest gives the revision that is there, with its first author and time."""
    first = publish(store)
    stamp = store.stamp()

    again = publish(store, at=later(60))

    assert first == again
    assert stamp == store.stamp()
    assert store.get(POLICY).updated_at == NOON


def test_going_back_to_earlier_content_is_a_new_revision(store: Store) -> None:
    """Only the active revision's digest counts as already there."""
    publish(store, mark="a")
    publish(store, mark="b")

    assert publish(store, mark="a").number == 3


def test_an_unknown_policy_is_not_found(store: Store) -> None:
    """Every method that needs a policy says that there is none, and writes nothing."""
    for ask in (
        store.get,
        store.delete,
        lambda policy: store.lock(policy, NOON),
        lambda policy: store.unlock(policy, NOON),
    ):
        with pytest.raises(PolicyNotFound, match=str(POLICY).replace(".", "[.]")):
            ask(POLICY)

    assert store.stamp() == 0


def test_a_first_failure_makes_a_policy_without_a_revision(store: Store) -> None:
    """A policy that never was good is listed as failed, with the reason."""
    store.fail(POLICY, failure())

    record = store.get(POLICY)
    assert (PolicyState.FAILED, None, failure(), NOON) == (
        record.state,
        record.revision,
        record.failure,
        record.updated_at,
    )


def test_a_failure_leaves_the_good_revision_active(store: Store) -> None:
    """The last good revision goes on answering; the policy is stale."""
    made = publish(store)

    store.fail(POLICY, failure(at=later(5)))

    record = store.get(POLICY)
    assert (PolicyState.STALE, made, later(5)) == (record.state, record.revision, record.updated_at)


def test_the_newest_failure_counts(store: Store) -> None:
    """A second failure replaces the first."""
    store.fail(POLICY, failure("one"))
    store.fail(POLICY, failure("two", later(1)))

    assert failure("two", later(1)) == store.get(POLICY).failure


def test_a_good_source_clears_the_failure(store: Store) -> None:
    """After a success nobody reads about the failure before."""
    store.fail(POLICY, failure())

    publish(store)

    assert (store.get(POLICY).state, store.get(POLICY).failure) == (PolicyState.READY, None)


def test_the_active_content_published_again_clears_the_failure(store: Store) -> None:
    """Undoing a bad edit makes the policy ready without a new revision, and others learn of it."""
    first = publish(store)
    store.fail(POLICY, failure())
    stamp = store.stamp()

    again = publish(store, at=later(9))

    assert first == again
    assert (PolicyState.READY, later(9)) == (store.get(POLICY).state, store.get(POLICY).updated_at)
    assert [change.what for change in store.changes(stamp)] == ["published"]


def test_a_lock_counts_at_once_and_is_kept_over_a_publish(store: Store) -> None:
    """New content never unlocks."""
    publish(store, mark="a")
    store.lock(POLICY, later(1))

    publish(store, mark="b", at=later(2))

    assert store.get(POLICY).locked
    assert frozenset({POLICY}) == store.locks()


@pytest.mark.parametrize("known", [False, True])
def test_a_policy_is_published_and_locked_in_one(store: Store, known: bool) -> None:
    """Nobody sees the new revision unlocked, and a later one does not unlock."""
    if known:
        publish(store, mark="a")
    locked = Publication(
        source=source(mark="b"),
        compiled=compiled("b"),
        data=None,
        digest="digest-b",
        author="ada",
        at=NOON,
        locked=True,
    )

    store.apply([locked])
    assert (store.get(POLICY).locked, store.locks()) == (True, frozenset({POLICY}))

    publish(store, mark="c")
    assert store.locks() == frozenset({POLICY})
    store.unlock(POLICY, later(1))
    assert store.locks() == frozenset()


def test_a_lock_is_kept_over_a_failure(store: Store) -> None:
    """A failing source does not unlock either."""
    publish(store)
    store.lock(POLICY, NOON)

    store.fail(POLICY, failure())

    assert store.get(POLICY).locked


def test_a_failed_policy_can_be_locked(store: Store) -> None:
    """A policy without a revision is a policy."""
    store.fail(POLICY, failure())

    store.lock(POLICY, NOON)

    assert frozenset({POLICY}) == store.locks()


def test_locking_twice_is_refused(store: Store) -> None:
    """The second one learns that it is locked already."""
    publish(store)
    store.lock(POLICY, NOON)
    stamp = store.stamp()

    with pytest.raises(AlreadyLocked):
        store.lock(POLICY, NOON)

    assert stamp == store.stamp()


def test_unlocking_what_is_not_locked_is_refused(store: Store) -> None:
    """Nothing is written for it."""
    publish(store)
    stamp = store.stamp()

    with pytest.raises(NotLocked):
        store.unlock(POLICY, NOON)

    assert stamp == store.stamp()


def test_unlocking_ends_a_lock(store: Store) -> None:
    """Lock and unlock touch the time of the last change."""
    publish(store)
    store.lock(POLICY, later(1))
    store.unlock(POLICY, later(2))

    assert (False, later(2)) == (store.get(POLICY).locked, store.get(POLICY).updated_at)
    assert frozenset() == store.locks()


def test_deleting_removes_everything_that_belongs_to_the_policy(store: Store) -> None:
    """Revisions, module, lock and refresh state go; other policies stay."""
    publish(store, POLICY, mark="a")
    publish(store, OTHER, mark="b")
    store.lock(POLICY, NOON)
    store.save_refresh(refresh(POLICY))

    store.delete(POLICY)

    with pytest.raises(PolicyNotFound):
        store.get(POLICY)
    with pytest.raises(KeyError):
        store.module(compiled("a").manifest.digest)
    assert (None, frozenset()) == (store.refresh_state(POLICY), store.locks())
    assert [record.id for record in store.find(PolicyFilter(), limit=9).records] == [OTHER]


def test_a_policy_made_again_after_deletion_starts_from_one_and_unlocked(store: Store) -> None:
    """Nothing of the deleted one is left."""
    publish(store, mark="a")
    publish(store, mark="b")
    store.lock(POLICY, NOON)
    store.delete(POLICY)

    assert publish(store, mark="b").number == 1
    assert not store.get(POLICY).locked


def test_a_module_is_read_by_its_digest(store: Store) -> None:
    """The bytes are those that were compiled; an unknown digest is a KeyError."""
    publish(store, mark="a")

    assert compiled("a").wasm == store.module(compiled("a").manifest.digest)
    with pytest.raises(KeyError, match="nothing"):
        store.module("nothing")


def test_a_module_lives_as_long_as_a_revision_refers_to_it(store: Store) -> None:
    """Policies may share one module."""
    publish(store, POLICY, mark="a")
    publish(store, OTHER, mark="a")

    store.delete(POLICY)

    assert compiled("a").wasm == store.module(compiled("a").manifest.digest)


def test_only_the_last_revisions_and_their_modules_are_kept(short_store: Store) -> None:
    """With three kept, the module of the oldest of four is gone."""
    for mark in "abcd":
        publish(short_store, mark=mark, data=f'"{mark}"')

    with pytest.raises(KeyError):
        short_store.module(compiled("a").manifest.digest)
    assert [compiled(mark).wasm for mark in "bcd"] == [
        short_store.module(compiled(mark).manifest.digest) for mark in "bcd"
    ]
    assert (active(short_store).number, active(short_store).data) == (4, '"d"')


def test_a_module_that_comes_back_is_kept(short_store: Store) -> None:
    """Publishing old content again does not lose its module when the old revision goes."""
    for mark in "abcda":
        publish(short_store, mark=mark)

    assert compiled("a").wasm == short_store.module(compiled("a").manifest.digest)


def test_data_documents_of_ten_megabytes_are_kept(store: Store) -> None:
    """A big document comes back to the last character."""
    big = '{"a": "' + "ä" * 5_000_000 + '"}'

    publish(store, data=big, own="{}")

    revision = store.get(POLICY).revision
    assert revision is not None
    assert (big, "{}") == (revision.data, revision.source.data)


@pytest.mark.parametrize(
    "policy",
    [
        PolicyId("räume", "grüppe", "日本語", "1.0-β"),
        PolicyId("👩‍🚀", "İi", "ﬃ", "\u202e"),
        PolicyId("'; DROP TABLE policies; --", "%", "_", "\\"),
        PolicyId("a b", " ", "\n", "?#%2F"),
    ],
)
def test_ids_may_be_any_text(store: Store, policy: PolicyId) -> None:
    """Unicode, quotes, blanks and wildcards are plain characters in every part."""
    publish(store, policy)
    store.lock(policy, NOON)

    assert policy == store.get(policy).id
    assert frozenset({policy}) == store.locks()
    assert policy == store.changes(0)[0].id


def test_ids_are_told_apart_by_every_part_and_by_case(store: Store) -> None:
    """Only exactly equal ids name the same policy."""
    near = [PolicyId("r", "g", "n", "1"), PolicyId("r", "g", "N", "1"), PolicyId("r", "g", "n", "1 ")]
    for number, policy in enumerate(near):
        publish(store, policy, mark=str(number))

    assert [f"digest-{number}" for number in range(3)] == [active(store, policy).digest for policy in near]
