"""What every store promises about events and their deliveries."""

import pytest
from contract_processes import Worker
from contract_samples import NOON, OTHER, POLICY, compiled, failure, later, publish, refresh, source

from policy_server.model.errors import AlreadyLocked, DeliveryNotFound, InvalidParameter
from policy_server.model.event import ChangeEvent, Delivery, DeliveryState
from policy_server.ports import Store
from policy_server.storage.opening import open_store


def told(store: Store) -> list[ChangeEvent]:
    """Return all events."""
    return list(store.outbox.events(after=0, limit=1000))


def dispatched(store: Store, *targets: str) -> list[Delivery]:
    """Publish something, hand its event on, and claim the deliveries."""
    publish(store)
    for event in store.outbox.undispatched(10):
        store.outbox.dispatch(event, targets, at=NOON)
    return list(store.outbox.claim(10, at=NOON, until=later(60)))


def test_every_change_of_a_policy_has_its_event(store: Store) -> None:
    """What, of which policy and revision, by whom, when; in the order of the stamps."""
    publish(store)
    store.lock(POLICY, later(1), actor="bob")
    store.fail(POLICY, failure(at=later(2)))
    store.unlock(POLICY, later(3))
    publish(store, at=later(4))
    store.delete(POLICY, actor="eve", at=later(5))

    events = told(store)

    assert [(each.stamp, each.type, each.revision, each.changed, each.actor, each.at) for each in events] == [
        (1, "published", 1, ("rego", "data", "data_config", "output_schema", "export_config"), "ada", NOON),
        (2, "locked", 1, ("locked",), "bob", later(1)),
        (3, "failed", 1, ("failure",), "", later(2)),
        (4, "unlocked", 1, ("locked",), "", later(3)),
        (5, "published", 1, ("failure",), "ada", later(4)),
        (6, "deleted", None, (), "eve", later(5)),
    ]
    assert {each.policy for each in events} == {POLICY}
    assert len({each.id for each in events}) == 6


def test_an_event_names_the_parts_that_changed(store: Store) -> None:
    """A long text is compared as well as a short one."""
    publish(store, mark="a", data='"' + "a" * 3000 + '"')
    long = store.get(POLICY).revision
    assert long is not None
    store.publish(long.source, compiled("a"), data='"' + "b" * 3000 + '"', digest="fetched", author="refresh", at=NOON)
    store.publish(source(mark="c"), compiled("c"), data='"' + "b" * 3000 + '"', digest="c", author="ada", at=NOON)

    assert [each.changed for each in told(store)[1:]] == [("data",), ("rego",)]


def test_an_event_is_told_the_same_every_time(store: Store) -> None:
    """Its id never changes, so that whoever gets it twice can tell."""
    publish(store)

    assert told(store) == told(store)
    assert told(store)[0] == store.outbox.event(1)
    assert store.outbox.event(7) is None


def test_a_deletion_without_a_time_has_that_of_the_last_change(store: Store) -> None:
    """There is always one."""
    publish(store, at=later(7))
    store.delete(POLICY)

    assert told(store)[-1].at == later(7)


def test_what_changes_nothing_has_no_event(store: Store) -> None:
    """Nor has bookkeeping."""
    publish(store)
    publish(store)
    store.lock(POLICY, NOON)
    with pytest.raises(AlreadyLocked):
        store.lock(POLICY, NOON)
    store.save_refresh(refresh())
    store.acquire("job", "me", until=later(1), at=NOON)
    store.values.set("key", {})

    assert [each.type for each in told(store)] == ["published", "locked"]


def test_the_feed_goes_on_after_a_stamp(store: Store) -> None:
    """Oldest first, as many as are wanted."""
    for mark in "abcd":
        publish(store, mark=mark)

    assert [each.stamp for each in store.outbox.events(after=1, limit=2)] == [2, 3]
    assert list(store.outbox.events(after=4, limit=2)) == []


def test_an_event_is_handed_on_once(store: Store) -> None:
    """One delivery for each target, also when a crash makes it happen twice."""
    publish(store)
    (event,) = store.outbox.undispatched(10)

    store.outbox.dispatch(event, ["webhook:1", "nats"], at=NOON)
    store.outbox.dispatch(event, ["webhook:1", "nats"], at=later(5))

    assert list(store.outbox.undispatched(10)) == []
    found = store.outbox.deliveries(limit=10).deliveries
    assert sorted((each.target, each.state, each.attempts, each.created_at, each.stamp) for each in found) == [
        ("nats", DeliveryState.PENDING, 0, NOON, 1),
        ("webhook:1", DeliveryState.PENDING, 0, NOON, 1),
    ]
    assert store.outbox.pending() == 2


def test_an_event_without_targets_is_done_with(store: Store) -> None:
    """Nobody wants it, so it does not come again."""
    publish(store)
    store.outbox.dispatch(store.outbox.undispatched(1)[0], [], at=NOON)

    assert (list(store.outbox.undispatched(1)), store.outbox.pending()) == ([], 0)
    assert len(told(store)) == 1


def test_a_claimed_delivery_is_nobody_elses_until_the_claim_ends(store: Store) -> None:
    """Whoever died with it has its deliveries done by another."""
    (mine,) = dispatched(store, "nats")

    assert list(store.outbox.claim(10, at=later(59), until=later(99))) == []
    (theirs,) = store.outbox.claim(10, at=later(60), until=later(99))
    assert (mine.attempts, theirs.attempts) == (1, 2)
    assert not store.outbox.delivered(mine, at=later(61))
    assert store.outbox.delivered(theirs, at=later(62))
    assert not store.outbox.retry(theirs, error="again", next_attempt=later(63))
    assert not store.outbox.bury(mine, error="late", at=later(64))


def test_a_delivery_that_succeeded_is_settled(store: Store) -> None:
    """It is not due any more and says when."""
    (delivery,) = dispatched(store, "nats")
    store.outbox.delivered(delivery, at=later(2))

    (found,) = store.outbox.deliveries(limit=1).deliveries
    assert (found.state, found.settled_at, found.error) == (DeliveryState.DELIVERED, later(2), None)
    assert (store.outbox.pending(), list(store.outbox.claim(1, at=later(999), until=later(1000)))) == (0, [])


def test_a_delivery_that_failed_is_tried_again_when_it_is_due(store: Store) -> None:
    """With its attempts counted and the reason kept."""
    (delivery,) = dispatched(store, "nats")
    assert store.outbox.retry(delivery, error="HTTP 500", next_attempt=later(30))

    assert list(store.outbox.claim(1, at=later(29), until=later(99))) == []
    (again,) = store.outbox.claim(1, at=later(30), until=later(99))
    assert (again.attempts, again.error) == (2, "HTTP 500")


def test_a_dead_letter_may_be_sent_again(store: Store) -> None:
    """An operator says so; its attempts are forgotten."""
    (delivery,) = dispatched(store, "nats")
    store.outbox.bury(delivery, error="gone", at=later(5))
    (dead,) = store.outbox.deliveries(limit=5, state=DeliveryState.DEAD).deliveries
    assert (dead.error, dead.settled_at) == ("gone", later(5))

    again = store.outbox.redeliver(delivery.id, at=later(10))

    assert (again.state, again.attempts, again.next_attempt, again.error, again.settled_at) == (
        DeliveryState.PENDING,
        0,
        later(10),
        None,
        None,
    )
    with pytest.raises(DeliveryNotFound):
        store.outbox.redeliver("unknown", at=NOON)


def test_deliveries_are_listed_newest_event_first_page_by_page(store: Store) -> None:
    """With filters that hold on every page."""
    for mark in "abc":
        publish(store, mark=mark)
        for event in store.outbox.undispatched(10):
            store.outbox.dispatch(event, ["nats", "webhook:1"], at=NOON)

    first = store.outbox.deliveries(limit=2, target="nats")
    second = store.outbox.deliveries(limit=2, target="nats", cursor=first.next_cursor)

    assert [each.stamp for each in (*first.deliveries, *second.deliveries)] == [3, 2, 1]
    assert second.next_cursor is None
    with pytest.raises(InvalidParameter):
        store.outbox.deliveries(limit=2, cursor="x")
    with pytest.raises(InvalidParameter):
        store.outbox.deliveries(limit=0)


def test_pruning_drops_what_is_old_and_settled(store: Store) -> None:
    """An event whose delivery is still to be tried stays, and so does the delivery."""
    publish(store, at=NOON)
    publish(store, OTHER, mark="b", at=NOON)
    one, two = store.outbox.undispatched(10)
    store.outbox.dispatch(one, ["nats"], at=NOON)
    (delivery,) = store.outbox.claim(10, at=NOON, until=later(1))
    store.outbox.delivered(delivery, at=later(1))
    store.outbox.dispatch(two, ["nats"], at=NOON)

    assert store.outbox.prune(NOON) == 0
    assert store.outbox.prune(later(2)) == 2
    assert [each.stamp for each in told(store)] == [2]
    assert store.outbox.pending() == 1


def test_pruning_looks_behind_an_event_that_has_to_stay(store: Store) -> None:
    """Only that one is kept, whatever came before and after it."""
    for mark in "abc":
        publish(store, mark=mark, at=NOON)
    store.outbox.dispatch(store.outbox.undispatched(10)[1], ["nats"], at=NOON)

    assert store.outbox.prune(later(1)) == 2
    assert [each.stamp for each in told(store)] == [2]


def test_several_processes_never_deliver_the_same_claim(shared_url: str) -> None:
    """Of those that claim at once each gets its own."""
    store = open_store(shared_url)
    for number in range(30):
        publish(store, mark=str(number))
    for event in store.outbox.undispatched(100):
        store.outbox.dispatch(event, ["nats"], at=NOON)

    with Worker(shared_url, "claim") as one, Worker(shared_url, "claim") as two:
        for worker in (one, two):
            worker.wait_ready()
        for worker in (one, two):
            worker.tell("go")
        claimed = [stamp for worker in (one, two) for stamp in worker.finish()[0]["claimed"]]

    assert sorted(claimed) == list(range(1, 31))
    store.close()
