"""Events are delivered once by several processes, and at least once when one is killed; on every backend."""

import threading
from collections.abc import Callable, Iterator

import pytest
from contract_processes import Worker
from contract_samples import NOON, POLICY, later, publish
from contract_worker import make_deliverer
from event_receivers import Receiver, receiving

from policy_server.model.event import DeliveryState
from policy_server.model.subscriber import Subscriber
from policy_server.ports import Store
from policy_server.storage.opening import open_store

EVENTS = 12


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Make HTTP receivers."""
    with receiving() as make:
        yield make


@pytest.fixture
def shared_store(shared_url: str) -> Iterator[Store]:
    """Every backend that processes can share."""
    store = open_store(shared_url)
    yield store
    store.close()


def changes(store: Store, receiver: Receiver) -> set[str]:
    """Subscribe a receiver and change the policy; return the ids of the events."""
    store.subscribers.add(Subscriber("0" * 24, POLICY, "somebody", receiver.url, NOON, NOON))
    for number in range(EVENTS):
        publish(store, mark=f"m{number}")
    return {event.id for event in store.outbox.events(after=0, limit=100)}


def told(receiver: Receiver) -> list[str]:
    """Return the ids that came, in order."""
    return [call.headers["webhook-id"] for call in receiver.calls]


def test_two_processes_deliver_each_event_once(
    shared_url: str, shared_store: Store, receivers: Callable[..., Receiver]
) -> None:
    """Also without the lease that keeps all but one idle."""
    receiver = receivers(200)
    with Worker(shared_url, "deliver") as one, Worker(shared_url, "deliver") as two:
        for worker in (one, two):
            worker.wait_ready()
        ids = changes(shared_store, receiver)
        for worker in (one, two):
            worker.tell("go")
        receiver.wait(EVENTS)
        while shared_store.outbox.pending():
            threading.Event().wait(0.05)

    assert sorted(told(receiver)) == sorted(ids)


@pytest.mark.parametrize("calls", [1, 5])
def test_a_process_that_is_killed_while_delivering_loses_nothing(
    shared_url: str, shared_store: Store, receivers: Callable[..., Receiver], calls: int
) -> None:
    """The next one takes over what was claimed when the claims have run out; one event at most comes twice."""
    receiver = receivers(*[200] * (calls - 1), 0)
    ids = changes(shared_store, receiver)
    with Worker(shared_url, "deliver") as worker:
        worker.wait_ready()
        worker.tell("go")
        receiver.wait(calls)
        worker.kill()
    receiver.answer(200)
    deliverer = make_deliverer(shared_store, later(3600))

    deliverer.step()
    deliverer.join(60)

    assert set(told(receiver)) == ids
    assert len(told(receiver)) == EVENTS + 1
    states = [each.state for each in shared_store.outbox.deliveries(limit=100).deliveries]
    assert states == [DeliveryState.DELIVERED] * EVENTS
