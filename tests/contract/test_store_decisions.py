"""What every store promises about records of decisions."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from contract_samples import NOON, OTHER, POLICY, later, publish

from policy_server.model.errors import DecisionNotFound, InvalidParameter
from policy_server.model.logged import DecisionFilter, LoggedDecision
from policy_server.ports import Store
from policy_server.storage.opening import open_store
from policy_server.storage.shelf import moment_id

EVERYTHING = DecisionFilter()
CALL = LoggedDecision(
    id=f"{moment_id(NOON)}00000000000000ff",
    decision_id="d-1",
    at=NOON,
    policy=POLICY,
    path="pexip/service/decision",
    endpoint="pexip",
    outcome="answered",
    requested_by="pexip",
    failed=False,
    body='{"input":"ü\\u0000"}',
    kind="service",
    alias="Räume@Example.com",
)


def at(second: float, **changes: object) -> LoggedDecision:
    """Make a record some seconds after noon."""
    moment = later(second)
    made = {"id": f"{moment_id(moment)}00000000000000ff", "decision_id": f"d{second}", "at": moment, **changes}
    return replace(CALL, **made)


def seconds(store: Store, wanted: DecisionFilter) -> list[float]:
    """Return when the found ones were made, after noon."""
    return [(found.at - NOON).total_seconds() for found in store.decisions.find(wanted, limit=50).decisions]


def test_a_decision_comes_back_as_it_was_given(store: Store) -> None:
    """Every field, to the microsecond; of no policy, kind and alias, too."""
    bare = at(1, policy=None, kind=None, alias=None, path="")
    store.decisions.record([CALL, bare])

    assert store.decisions.find(EVERYTHING, limit=10).decisions == (bare, CALL)
    assert store.decisions.get("d-1") == CALL


def test_decisions_are_listed_newest_first_page_by_page(store: Store) -> None:
    """A cursor leads on; what comes in between does not move the pages."""
    store.decisions.record([at(each) for each in range(5)])
    first = store.decisions.find(EVERYTHING, limit=2)
    store.decisions.record([at(9)])

    second = store.decisions.find(EVERYTHING, limit=2, cursor=first.next_cursor)
    third = store.decisions.find(EVERYTHING, limit=2, cursor=second.next_cursor)

    found = [*first.decisions, *second.decisions, *third.decisions]
    assert [each.at for each in found] == [later(each) for each in (4, 3, 2, 1, 0)]
    assert third.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "AB", "Zm9v"])
def test_a_cursor_of_somebody_else_is_refused(store: Store, cursor: str) -> None:
    """And says so."""
    with pytest.raises(InvalidParameter):
        store.decisions.find(EVERYTHING, limit=2, cursor=cursor)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DecisionFilter(policy=OTHER), [1]),
        (DecisionFilter(path="a/b"), [2]),
        (DecisionFilter(kind="avatar"), [3]),
        (DecisionFilter(outcome="fallback"), [4]),
        (DecisionFilter(requested_by="token:ci"), [5]),
        (DecisionFilter(decision_id="d4"), [4]),
        (DecisionFilter(endpoint="data"), [2]),
        (DecisionFilter(failed=True), [4]),
        (DecisionFilter(alias_contains="RÄUME@"), [5, 4, 3, 1, 0]),
        (DecisionFilter(alias_contains="100%_"), [2]),
        (DecisionFilter(alias_contains="1"), [2]),
        (DecisionFilter(since=later(3)), [5, 4, 3]),
        (DecisionFilter(until=later(3)), [2, 1, 0]),
        (DecisionFilter(since=later(1), until=later(4), policy=POLICY), [2]),
        (DecisionFilter(repositories=frozenset({"mine"})), [5]),
        (DecisionFilter(repositories=frozenset({""})), []),
        (DecisionFilter(repositories=frozenset()), []),
        (DecisionFilter(policy=POLICY, failed=False, kind="service"), [2, 0]),
    ],
)
def test_decisions_are_filtered(store: Store, wanted: DecisionFilter, found: list[float]) -> None:
    """By whatever an operator remembers of a call; all conditions hold."""
    mine = replace(POLICY, repository="mine")
    store.decisions.record(
        [
            at(0),
            at(1, policy=OTHER),
            at(2, path="a/b", endpoint="data", alias="100%_"),
            at(3, kind="avatar", policy=None),
            at(4, outcome="fallback", failed=True),
            at(5, requested_by="token:ci", policy=mine),
        ]
    )

    assert seconds(store, wanted) == found


def test_the_newest_of_equal_decision_ids_counts(store: Store) -> None:
    """Callers may bring ids of their own, and repeat them."""
    store.decisions.record([at(0, decision_id="mine"), at(1, decision_id="mine")])

    assert store.decisions.get("mine").at == later(1)
    with pytest.raises(DecisionNotFound):
        store.decisions.get("other")


def test_recording_again_adds_nothing(store: Store) -> None:
    """A batch whose answer was lost is written again, with what came since."""
    store.decisions.record([at(0), at(1)])
    store.decisions.record([at(0, body="{}"), at(1), at(2)])
    store.decisions.record([])

    assert seconds(store, EVERYTHING) == [2, 1, 0]
    assert store.decisions.get("d0").body == CALL.body


def test_old_decisions_are_pruned_by_age(store: Store) -> None:
    """What is exactly as old as the limit stays."""
    store.decisions.record([at(each) for each in range(4)])

    assert store.decisions.prune(later(2), keep=100) == 2
    assert seconds(store, EVERYTHING) == [3, 2]


def test_the_oldest_decisions_are_pruned_by_number(store: Store) -> None:
    """In portions that leave other writers their turn."""
    for start in range(0, 1200, 200):
        store.decisions.record([at(each / 10) for each in range(start, start + 200)])

    assert store.decisions.prune(later(-1), keep=3) == 1197
    assert seconds(store, EVERYTHING) == [119.9, 119.8, 119.7]
    assert store.decisions.prune(later(-1), keep=3) == 0


def test_decisions_are_no_changes_of_policies(store: Store) -> None:
    """The stamp stays, so that no worker looks for new revisions; deleting a policy leaves its decisions."""
    publish(store)
    stamp = store.stamp()

    store.decisions.record([CALL])
    store.decisions.prune(later(-1), keep=1)

    assert (store.stamp(), list(store.changes(stamp))) == (stamp, [])
    store.delete(POLICY)
    assert store.decisions.get("d-1") == CALL


def test_several_processes_record_at_once(shared_url: str) -> None:
    """Nothing is lost and nobody is refused, with policies published at the same time."""
    stores = [open_store(shared_url) for _ in range(3)]

    def record(store: Store, number: int) -> None:
        for batch in range(5):
            moments = [number * 1000 + batch * 50 + each for each in range(50)]
            store.decisions.record([at(moment) for moment in moments])

    def run(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    threads = [run(lambda each=each, store=store: record(store, each)) for each, store in enumerate(stores)]
    publish(stores[0])
    for thread in threads:
        thread.join()

    kept = [store.decisions.prune(later(-1), keep=0) for store in stores]
    assert sum(kept) == 750
    for store in stores:
        store.close()
