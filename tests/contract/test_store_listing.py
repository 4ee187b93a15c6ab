"""What every store promises about listings and about telling what changed."""

import pytest
from contract_samples import NOON, OTHER, POLICY, failure, publish, refresh

from policy_server.model.errors import InvalidParameter
from policy_server.model.policy import PolicyFilter, PolicyId
from policy_server.ports import Store

EVERYTHING = PolicyFilter()


def ids(store: Store, wanted: PolicyFilter = EVERYTHING) -> list[PolicyId]:
    """Return the ids of everything that is wanted."""
    return [record.id for record in store.find(wanted, limit=100).records]


def test_an_empty_store_lists_one_empty_page(store: Store) -> None:
    """No records and nothing after them."""
    page = store.find(EVERYTHING, limit=10)

    assert (page.records, page.next_cursor) == ((), None)


def test_policies_are_listed_in_the_order_of_their_ids(store: Store) -> None:
    """Repository, group, name, version, each by code point."""
    wanted = [
        PolicyId("R", "z", "z", "z"),
        PolicyId("r", "A", "a", "1"),
        PolicyId("r", "a", "B", "1"),
        PolicyId("r", "a", "a", "1"),
        PolicyId("r", "a", "a", "1.0"),
        PolicyId("r", "a", "a-", "0"),
        PolicyId("r", "a", "ä", "1"),
        PolicyId("r", "a", "\ufb03", "1"),
        PolicyId("r", "a", "👩", "1"),
    ]
    for policy in reversed(wanted):
        publish(store, policy)

    assert wanted == ids(store)
    assert wanted == sorted(wanted)


def test_listed_records_are_what_get_returns(store: Store) -> None:
    """A listing has ready, stale, failed and locked policies, each complete."""
    publish(store, POLICY, data='{"big": true}', own="{}")
    store.lock(POLICY, NOON)
    publish(store, OTHER, mark="b")
    store.fail(OTHER, failure())
    never = PolicyId("a", "b", "c", "d")
    store.fail(never, failure())

    records = store.find(EVERYTHING, limit=10).records

    assert [store.get(never), store.get(OTHER), store.get(POLICY)] == list(records)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (PolicyFilter(repository="r1"), ["alpha", "beta"]),
        (PolicyFilter(repository="r"), []),
        (PolicyFilter(group="g2"), ["beta", "gamma"]),
        (PolicyFilter(version="2"), ["gamma"]),
        (PolicyFilter(locked=True), ["beta"]),
        (PolicyFilter(locked=False), ["alpha", "gamma"]),
        (PolicyFilter(name_contains="A"), ["alpha", "beta", "gamma"]),
        (PolicyFilter(name_contains="lph"), ["alpha"]),
        (PolicyFilter(name_contains=""), ["alpha", "beta", "gamma"]),
        (PolicyFilter(group="g2", locked=False), ["gamma"]),
        (PolicyFilter(repository="r1", group="g2", version="1", locked=True, name_contains="ET"), ["beta"]),
    ],
)
def test_filters_narrow_a_listing(store: Store, wanted: PolicyFilter, names: list[str]) -> None:
    """Every condition that is given must hold."""
    publish(store, PolicyId("r1", "g1", "alpha", "1"))
    publish(store, PolicyId("r1", "g2", "beta", "1"))
    publish(store, PolicyId("r2", "g2", "gamma", "2"))
    store.lock(PolicyId("r1", "g2", "beta", "1"), NOON)

    assert names == [policy.name for policy in ids(store, wanted)]


@pytest.mark.parametrize(
    ("needle", "names"),
    [
        ("%", ["100%"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        (".*", []),
        ("GROSSE", ["große"]),
        ("Große", ["große"]),
        ("'", []),
        ("x" * 100_000, []),
    ],
)
def test_a_part_of_a_name_is_text_and_ignores_case(store: Store, needle: str, names: list[str]) -> None:
    """Wildcards of any language mean themselves; case is folded for all of Unicode."""
    for name in ("100%", "a_b", "aXb", "back\\slash", "große"):
        publish(store, PolicyId("r", "g", name, "1"))

    assert names == [policy.name for policy in ids(store, PolicyFilter(name_contains=needle))]


def test_pages_follow_each_other_without_gap_or_repetition(store: Store) -> None:
    """Following the cursors gives everything once; the last page has none."""
    wanted = [PolicyId("r", f"g{number % 3}", f"n{number}", "1") for number in range(10)]
    for policy in wanted:
        publish(store, policy)

    found: list[PolicyId] = []
    sizes = []
    cursor = None
    while True:
        page = store.find(EVERYTHING, limit=4, cursor=cursor)
        found += [record.id for record in page.records]
        sizes.append(len(page.records))
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(wanted) == found
    assert sizes == [4, 4, 2]


def test_a_page_that_ends_exactly_at_the_end_is_the_last(store: Store) -> None:
    """No cursor leads to an empty page."""
    publish(store, POLICY)
    publish(store, OTHER)

    assert store.find(EVERYTHING, limit=2).next_cursor is None
    assert store.find(EVERYTHING, limit=1).next_cursor is not None


def test_paging_goes_on_while_policies_come_and_go(store: Store) -> None:
    """What was there all the time is listed exactly once, also when the last one seen is deleted."""
    for name in "bdfh":
        publish(store, PolicyId("r", "g", name, "1"))
    first = store.find(EVERYTHING, limit=2)

    store.delete(PolicyId("r", "g", "d", "1"))
    for name in "aeg":
        publish(store, PolicyId("r", "g", name, "1"))
    second = store.find(EVERYTHING, limit=10, cursor=first.next_cursor)

    assert [record.id.name for record in first.records] == ["b", "d"]
    assert [record.id.name for record in second.records] == ["e", "f", "g", "h"]


def test_a_cursor_works_with_filters(store: Store) -> None:
    """The filter holds on every page."""
    for name in ("ab", "ax", "ba", "bx", "ca", "cx"):
        publish(store, PolicyId("r", "g", name, "1"))
    wanted = PolicyFilter(name_contains="X")

    first = store.find(wanted, limit=2)
    second = store.find(wanted, limit=2, cursor=first.next_cursor)

    assert [record.id.name for record in first.records] == ["ax", "bx"]
    assert [record.id.name for record in second.records] == ["cx"]


@pytest.mark.parametrize("cursor", ["", "x", "W10", "bnVsbA", "WzEsMiwzLDRd", "[]", "%%%", "ä", "WyJhIiwiYiIsImMiXQ=="])
def test_a_cursor_that_is_not_ours_is_refused(store: Store, cursor: str) -> None:
    """A wrong cursor is a wrong parameter, never an empty or a full list."""
    with pytest.raises(InvalidParameter, match="cursor"):
        store.find(EVERYTHING, limit=1, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_without_room_is_refused(store: Store, limit: int) -> None:
    """A limit that could never list anything is a wrong parameter."""
    with pytest.raises(InvalidParameter, match="limit"):
        store.find(EVERYTHING, limit=limit)


def test_a_page_of_big_documents_is_shorter_than_its_limit(store: Store) -> None:
    """A listing does not pull hundreds of megabytes into memory at once, and loses nothing by that."""
    big = '"' + "x" * 10_000_000 + '"'
    for number in range(8):
        publish(store, PolicyId("r", "g", str(number), "1"), data=big)

    first = store.find(EVERYTHING, limit=100)
    second = store.find(EVERYTHING, limit=100, cursor=first.next_cursor)

    assert (len(first.records), len(second.records), second.next_cursor) == (6, 2, None)


def test_the_stamp_grows_with_every_change_of_a_policy(store: Store) -> None:
    """Publishing, failing, locking, unlocking and deleting all count."""
    stamps = [store.stamp()]
    for act in (
        lambda: publish(store),
        lambda: store.fail(POLICY, failure()),
        lambda: store.lock(POLICY, NOON),
        lambda: store.unlock(POLICY, NOON),
        lambda: store.delete(POLICY),
    ):
        act()
        stamps.append(store.stamp())

    assert sorted(set(stamps)) == stamps


def test_leases_and_refresh_state_leave_the_stamp_alone(store: Store) -> None:
    """Bookkeeping does not make workers look for news."""
    publish(store)
    stamp = store.stamp()

    store.save_refresh(refresh())
    store.drop_refresh(POLICY)
    store.acquire("job", "me", until=NOON, at=NOON)
    store.release("job", "me")

    assert stamp == store.stamp()


def test_changes_are_told_oldest_first_with_their_stamps(store: Store) -> None:
    """One entry a policy and kind, in the order of what happened last."""
    publish(store, POLICY)
    publish(store, OTHER)
    store.lock(POLICY, NOON)
    store.fail(OTHER, failure())
    store.unlock(POLICY, NOON)
    store.lock(POLICY, NOON)

    told = store.changes(0)

    assert [(change.id, change.what) for change in told] == [
        (POLICY, "published"),
        (OTHER, "published"),
        (OTHER, "failed"),
        (POLICY, "unlocked"),
        (POLICY, "locked"),
    ]
    assert sorted({change.stamp for change in told}) == [change.stamp for change in told]
    assert store.stamp() == told[-1].stamp


def test_changes_begin_after_the_stamp_that_is_given(store: Store) -> None:
    """What is known already is not told again."""
    publish(store, POLICY)
    known = store.stamp()
    assert list(store.changes(known)) == []

    publish(store, OTHER)

    assert [(change.id, change.what) for change in store.changes(known)] == [(OTHER, "published")]


def test_a_deletion_is_told_alone_and_a_new_policy_after_it(store: Store) -> None:
    """Who looks later learns that it is gone, and only then that it is back."""
    publish(store)
    store.lock(POLICY, NOON)
    store.delete(POLICY)
    assert [change.what for change in store.changes(0)] == ["deleted"]

    publish(store)

    assert [change.what for change in store.changes(0)] == ["deleted", "published"]
