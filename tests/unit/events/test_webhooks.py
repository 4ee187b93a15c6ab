"""Subscribers are called until they have taken an event; real receivers answer, fail, hang or are gone."""

import base64
import hmac
import logging
from collections.abc import Callable

import pytest
from event_receivers import Receiver
from events_world import POLICY, World

from policy_server.events.deliverer import Deliverer
from policy_server.events.webhooks import Webhooks
from policy_server.model.event import DeliveryState
from policy_server.model.subscriber import Subscriber, SubscriberState
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

Receivers = Callable[..., Receiver]


def change(world: World, *receivers: Receiver) -> Deliverer:
    """Publish a policy, subscribe the receivers, change it, deliver once; what came before them is told to nobody."""
    deliverer = world.deliverer()
    world.publish("before")
    world.deliver(deliverer)
    for number, receiver in enumerate(receivers):
        world.subscribe(receiver.url, f"number {number}")
    world.publish("after")
    world.deliver(deliverer)
    return deliverer


@pytest.mark.parametrize("status", [200, 201, 204])
def test_any_2xx_is_success(world: World, receivers: Receivers, status: int) -> None:
    """The body is the policy service's, signed with the secret that the subscriber was shown."""
    receiver = receivers(status)

    change(world, receiver)

    (call,) = receiver.calls
    assert call.json == {"repository": "demo", "name": "door", "version": "1.0", "group": "g"}
    assert call.headers["content-type"] == "application/json"
    (subscriber,) = world.subscriptions.of(POLICY)
    assert subscriber.secret is not None
    key = base64.b64decode(subscriber.secret.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert call.headers["webhook-signature"] == f"v1,{expected}"
    assert call.headers["webhook-timestamp"] == str(int(world.now.timestamp()))
    assert [each.state for each in world.deliveries()] == [DeliveryState.DELIVERED]
    assert world.counts.results == [("webhook", "delivered")]


@pytest.mark.parametrize("status", [500, 404, 302, 307])
def test_everything_else_is_tried_again_with_the_same_id(world: World, receivers: Receivers, status: int) -> None:
    """Not before its pause is over; redirects are not followed."""
    receiver = receivers(status, 200)
    deliverer = change(world, receiver)

    world.pass_by(4)
    world.deliver(deliverer)
    assert [each.error for each in world.deliveries()] == [f"the receiver answered {status}"]
    assert len(receiver.calls) == 1
    world.pass_by(1)
    world.deliver(deliverer)

    assert [call.path for call in receiver.calls] == ["/hook", "/hook"]
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert [(each.state, each.attempts, each.error) for each in world.deliveries()] == [
        (DeliveryState.DELIVERED, 2, None)
    ]


def test_who_never_takes_it_is_given_up_after_a_day_and_can_be_told_again(world: World, receivers: Receivers) -> None:
    """The dead letter keeps the reason; sending it again starts afresh."""
    receiver = receivers(503)
    deliverer = change(world, receiver)
    started = world.now

    while world.deliveries()[0].state is DeliveryState.PENDING:
        world.now = world.deliveries()[0].next_attempt
        world.deliver(deliverer)

    (dead,) = world.deliveries()
    assert (dead.state, dead.error) == (DeliveryState.DEAD, "the receiver answered 503")
    assert (world.now - started).total_seconds() == 24 * 3600
    receiver.answer(200)
    world.store.outbox.redeliver(dead.id, at=world.now)
    world.deliver(deliverer)
    assert world.deliveries()[0].state is DeliveryState.DELIVERED
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1


def test_who_answers_410_is_not_called_any_more_until_a_test_arrives(world: World, receivers: Receivers) -> None:
    """Deliveries to it are dead letters at once."""
    receiver = receivers(410)
    deliverer = change(world, receiver)

    world.publish("later")
    world.deliver(deliverer)
    (subscriber,) = world.subscriptions.of(POLICY)
    assert subscriber.state is SubscriberState.FAILING
    assert [each.state for each in world.deliveries()] == [DeliveryState.DEAD]
    assert len(receiver.calls) == 1

    receiver.answer(200)
    trial = world.subscriptions.test(POLICY, subscriber.id)
    world.publish("again")
    world.deliver(deliverer)

    assert (trial.delivered, trial.status, trial.error) == (True, 200, None)
    assert [call.headers["webhook-id"].startswith("test_") for call in receiver.calls] == [False, True, False]


def test_one_that_hangs_is_cut_off(world: World, receivers: Receivers) -> None:
    """Within its time, and tried again."""
    receiver = receivers(0)
    client = GuardedClient(NetworkGuard(["127.0.0.1"]), read_timeout=0.3, deadline=0.3)
    world.webhooks = Webhooks(world.store.subscribers, client, world.clock)

    change(world, receiver)

    (delivery,) = world.deliveries()
    assert delivery.state is DeliveryState.PENDING
    assert "0.3 s" in str(delivery.error)


def test_what_waits_for_one_that_is_away_is_put_off_with_it(world: World, receivers: Receivers) -> None:
    """Instead of waiting for it once for each event."""
    receiver = receivers(0)
    client = GuardedClient(NetworkGuard(["127.0.0.1"]), read_timeout=0.3, deadline=0.3)
    world.webhooks = Webhooks(world.store.subscribers, client, world.clock)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    world.subscribe(receiver.url)
    for number in range(20):
        world.publish(f"number {number}")

    world.deliver(deliverer)

    assert len(receiver.calls) == 1
    assert {each.next_attempt for each in world.deliveries()} == {world.deliveries()[0].next_attempt}
    assert world.counts.results == [("webhook", "retry")] * 20


def test_forbidden_networks_are_not_called(
    world: World, receivers: Receivers, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the address got into the store otherwise; the operator finds a dead letter, without secrets."""
    receiver = receivers(200)
    world.webhooks = Webhooks(world.store.subscribers, GuardedClient(NetworkGuard()), world.clock)
    world.publish()
    deliverer = world.deliverer()
    world.deliver(deliverer)
    secret = "whsec_AAAA"
    url = f"{receiver.url}?token=do-not-tell"
    world.store.subscribers.add(Subscriber("0" * 24, POLICY, "x", url, world.now, world.now, secret))
    world.publish("b")

    with caplog.at_level(logging.DEBUG):
        world.deliver(deliverer)

    (dead,) = world.deliveries()
    assert (dead.state, receiver.calls) == (DeliveryState.DEAD, [])
    assert "loopback" in str(dead.error)
    assert "do-not-tell" not in caplog.text + str(dead.error)
    assert secret not in caplog.text


def test_a_subscriber_that_was_removed_is_not_called(world: World, receivers: Receivers) -> None:
    """What was on its way becomes a dead letter."""
    receiver = receivers(500)
    deliverer = change(world, receiver)
    (subscriber,) = world.subscriptions.of(POLICY)
    world.subscriptions.unsubscribe(POLICY, subscriber.id, by="me")

    world.pass_by(10)
    world.deliver(deliverer)

    assert [(each.state, each.error) for each in world.deliveries()] == [
        (DeliveryState.DEAD, "the subscriber has been removed")
    ]
