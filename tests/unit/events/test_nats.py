"""CloudEvents reach a real NATS server; one that is away delays only events."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from event_receivers import NatsListener, NatsServer
from events_world import World

from policy_server.events.nats import Nats
from policy_server.events.payloads import Form
from policy_server.model.event import DeliveryState

Listen = Callable[..., NatsListener]


@pytest.fixture
def make() -> Iterator[Callable[..., Nats]]:
    """Make sinks that are closed at the end."""
    made: list[Nats] = []

    def sink(address: str, subject: str = "policy_notifier", form: Form = Form.LEGACY) -> Nats:
        made.append(Nats([address], subject, form=form, timeout=5))
        return made[-1]

    yield sink
    for each in made:
        each.close()


def test_a_subscriber_gets_what_the_policy_service_sent(
    world: World, nats_server: NatsServer, listen: Listen, make: Callable[..., Nats]
) -> None:
    """Structured JSON in a plain message."""
    listener = listen()
    deliverer = world.deliverer(make(nats_server.address))

    world.publish()
    world.deliver(deliverer)

    (event,) = world.store.outbox.events(after=0, limit=9)
    said = listener.next()
    assert (said["specversion"], said["id"], said["source"], said["type"]) == (
        "1.0",
        event.id,
        "policy",
        "update_policy",
    )
    assert said["data"] == {"repository": "demo", "name": "door", "version": "1.0", "group": "g"}
    assert [(each.target, each.state) for each in world.deliveries()] == [
        ("nats:policy_notifier", DeliveryState.DELIVERED)
    ]


def test_the_richer_form_goes_to_any_subject(
    world: World, nats_server: NatsServer, listen: Listen, make: Callable[..., Nats]
) -> None:
    """Events arrive in order."""
    listener = listen("policies.changed")
    deliverer = world.deliverer(make(nats_server.address, "policies.changed", Form.CHANGED))

    for number in range(50):
        world.publish(f"number {number}")
    world.deliver(deliverer)

    assert [listener.next()["data"]["revision"] for _ in range(50)] == list(range(1, 51))


def test_a_server_that_is_away_at_the_start_gets_everything_later(world: World, make: Callable[..., Nats]) -> None:
    """At most half a minute after it is there; nothing is lost meanwhile."""
    server = NatsServer()
    deliverer = world.deliverer(make(server.address))
    world.publish()
    world.deliver(deliverer)
    assert [each.error for each in world.deliveries()] == ["NATS: no server can be reached"]

    server.start()
    listener = NatsListener(server, "policy_notifier")
    world.pass_by(30)
    world.deliver(deliverer)

    assert listener.next()["type"] == "update_policy"
    assert {each.state for each in world.deliveries()} == {DeliveryState.DELIVERED}
    listener.close()
    server.close()


def test_a_server_that_goes_away_and_comes_back_gets_what_it_missed(
    world: World, nats_server: NatsServer, make: Callable[..., Nats]
) -> None:
    """Each event once; the client is not asked to remember anything."""
    deliverer = world.deliverer(make(nats_server.address))
    world.publish("first")
    world.deliver(deliverer)

    nats_server.stop()
    for number in range(5):
        world.publish(f"number {number}")
    world.deliver(deliverer)
    assert world.store.outbox.pending() == 5
    nats_server.start()
    listener = NatsListener(nats_server, "policy_notifier")
    world.pass_by(30)
    world.deliver(deliverer)

    told = {listener.next()["id"] for _ in range(5)}
    assert told == {event.id for event in world.store.outbox.events(after=1, limit=9)}
    assert world.store.outbox.pending() == 0
    listener.close()


def test_a_day_without_the_server_is_survived(world: World, make: Callable[..., Nats]) -> None:
    """Pauses stay at half a minute and make a day together."""
    sink = make("nats://127.0.0.1:1")

    longest = [sink.backoff.pause(attempts, 0.5) for attempts in (3, 10, 2880)]

    assert [pause and pause.total_seconds() for pause in longest] == [30, 30, 30]
    assert sink.backoff.pause(2890, 0.5) is None


@pytest.mark.parametrize("address", ["nats://wrong:do-not-tell@127.0.0.1:{port}", "nats://127.0.0.1:{port}"])
def test_refused_credentials_are_named_and_not_repeated(
    world: World, make: Callable[..., Nats], address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the log nor in the delivery."""
    server = NatsServer("--user", "right", "--pass", "its-secret")
    server.start()
    deliverer = world.deliverer(make(address.format(port=server.port)))
    world.publish()

    with caplog.at_level(logging.DEBUG):
        world.deliver(deliverer)

    (delivery,) = world.deliveries()
    assert delivery.error == "NATS: the server refuses these credentials"
    assert "do-not-tell" not in caplog.text
    server.close()


def test_a_password_is_sent(world: World, make: Callable[..., Nats]) -> None:
    """It stands in the address."""
    server = NatsServer("--user", "right", "--pass", "its-secret")
    server.start()
    deliverer = world.deliverer(make(f"nats://right:its-secret@127.0.0.1:{server.port}"))
    world.publish()

    world.deliver(deliverer)

    assert [each.state for each in world.deliveries()] == [DeliveryState.DELIVERED]
    server.close()


def test_nothing_runs_before_the_first_event_and_after_the_end(
    world: World, nats_server: NatsServer, make: Callable[..., Nats]
) -> None:
    """The thread starts after every fork, where events are delivered; closing may be repeated."""
    sink = make(nats_server.address)
    deliverer = world.deliverer(sink)
    before = [thread.name for thread in threading.enumerate() if thread.name == "nats"]
    world.publish()
    world.deliver(deliverer)
    during = [thread.name for thread in threading.enumerate() if thread.name == "nats"]
    sink.close()
    sink.close()

    assert (before, during) == ([], ["nats"])
    assert "nats" not in [thread.name for thread in threading.enumerate()]


def test_one_server_of_several_is_enough(world: World, nats_server: NatsServer) -> None:
    """The others are tried first or not at all."""
    sink = Nats(["nats://127.0.0.1:1", nats_server.address], "policy_notifier", form=Form.LEGACY)
    deliverer = world.deliverer(sink)

    for number in range(3):
        world.publish(f"number {number}")
        world.deliver(deliverer)
        sink.close()

    assert {each.state for each in world.deliveries()} == {DeliveryState.DELIVERED}


def test_a_subject_that_is_not_allowed_is_named(world: World, make: Callable[..., Nats], tmp_path: Path) -> None:
    """The server says so beside the protocol; without looking, the event would be lost in silence."""
    config = tmp_path / "nats.conf"
    config.write_text('authorization { users = [{user: u, password: p, permissions: {publish: "other"}}] }')
    server = NatsServer("-c", str(config))
    server.start()
    deliverer = world.deliverer(make(f"nats://u:p@127.0.0.1:{server.port}"))
    world.publish()

    world.deliver(deliverer)

    assert [each.error for each in world.deliveries()] == ["NATS: the server does not allow this subject"]
    server.close()
