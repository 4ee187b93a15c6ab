"""Subscribing, the feed of changes and deliveries over HTTP."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from event_receivers import Receiver, receiving
from functional_server import Server, now

from policy_server.events.deliverer import Deliverer
from policy_server.events.webhooks import Webhooks
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

DOOR = "demo/g/door/1.0"
NOTIFY = f"/policy/{DOOR}/notifychange"


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Make HTTP receivers."""
    with receiving() as make:
        yield make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server that may call loopback, with one policy."""
    made = make_server(networks=["127.0.0.1"])
    made.publish(DOOR, "package g.door\n\na := 1\n")
    return made


def subscribe(server: Server, url: str, name: str = "somebody", status: int = 200):
    """Subscribe; return the answer's document."""
    answer = server.client.post(NOTIFY, json.dumps({"webhook_url": url, "subscriber": name}).encode())
    assert answer.status == status, answer.body
    return answer.json


def deliver(server: Server) -> None:
    """Deliver what is due now."""
    client = GuardedClient(NetworkGuard(["127.0.0.1"]), deadline=5)
    webhooks = Webhooks(server.store.subscribers, client, now)
    deliverer = Deliverer(server.store.outbox, server.store.stamp, [webhooks], now, server.parts.metrics, patience=6)
    deliverer.step()
    deliverer.join(60)


def test_a_subscriber_is_answered_as_by_the_policy_service(server: Server) -> None:
    """Go's names; the secret is there once and nowhere else."""
    made = subscribe(server, "http://127.0.0.1/hook?key=1")

    assert list(made)[:9] == [
        "MongoID",
        "Name",
        "WebhookURL",
        "PolicyRepository",
        "PolicyName",
        "PolicyGroup",
        "PolicyVersion",
        "CreatedAt",
        "UpdatedAt",
    ]
    assert list(made.values())[1:7] == ["somebody", "http://127.0.0.1/hook?key=1", "demo", "door", "g", "1.0"]
    assert re.fullmatch("[0-9a-f]{24}", made["MongoID"])
    assert made["Secret"].startswith("whsec_")
    shown = {key: value for key, value in made.items() if key != "Secret"}
    assert server.client.get(NOTIFY).json == {"subscribers": [shown]}
    assert server.client.get(f"{NOTIFY}/{made['MongoID']}").json == shown


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "missing required payload"),
        (b"{}", '"webhook_url" is missing from body; "subscriber" is missing from body'),
        (b'{"subscriber": "abc"}', '"webhook_url" is missing from body'),
        (
            b'{"webhook_url": "relative/path", "subscriber": "abc"}',
            'body.webhook_url must be formatted as a uri but got value "relative/path"',
        ),
        (
            b'{"webhook_url": "http://a/", "subscriber": "ab"}',
            'length of body.subscriber must be greater or equal than 3 but got value "ab" (len=2)',
        ),
        (b'{"webhook_url": "gopher://a/", "subscriber": "abc"}', "webhook_url must be an http or https address"),
        (b"[1]", "the body is not the JSON object that is needed"),
        (b'{"webhook_url": 1, "subscriber": "abc"}', "the body is not the JSON object that is needed"),
        (b'{"webhook_url": "http://a/", "subscriber": "\xff\xff\xff"}', "the body is not the JSON object"),
    ],
)
def test_what_cannot_be_subscribed_is_told(server: Server, body: bytes, message: str) -> None:
    """400 of kind 1, with the policy service's words."""
    answer = server.client.post(NOTIFY, body)

    assert (answer.status, answer.json["kind"]) == (400, 1)
    assert answer.json["message"].startswith(message)


def test_names_have_up_to_a_hundred_characters(server: Server) -> None:
    """Characters, not bytes."""
    subscribe(server, "http://127.0.0.1/a", "ü" * 100)
    subscribe(server, "http://127.0.0.1/a", "ü" * 101, status=400)


def test_refusals_have_their_kinds(server: Server) -> None:
    """Twice is 409, an unknown policy 404, a forbidden network 403."""
    subscribe(server, "http://127.0.0.1/a")

    twice = subscribe(server, "http://127.0.0.1/a", status=409)
    assert (twice["kind"], twice["message"]) == (4, "subscriber already exist")
    assert subscribe(server, "http://10.0.0.1/a", status=403)["kind"] == 3
    body = b'{"webhook_url": "http://127.0.0.1/a", "subscriber": "abc"}'
    unknown = server.client.post("/policy/demo/g/none/1.0/notifychange", body)
    assert (unknown.status, unknown.json["kind"]) == (404, 5)
    assert server.client.get(f"{NOTIFY}/{'0' * 24}").status == 404
    assert server.client.ask("DELETE", f"{NOTIFY}/{'0' * 24}").status == 404


def test_a_subscriber_can_be_tried_and_removed(server: Server, receivers: Callable[..., Receiver]) -> None:
    """The answer tells how the call went."""
    receiver = receivers(200, 500)
    one = f"{NOTIFY}/{subscribe(server, receiver.url)['MongoID']}"

    trials = [server.client.post(f"{one}/test") for _ in range(2)]

    assert [trial.json["delivered"] for trial in trials] == [True, False]
    assert [(trial.json["status"], trial.json["error"]) for trial in trials] == [
        (200, None),
        (500, "the receiver answered 500"),
    ]
    assert receiver.calls[0].json == {"repository": "demo", "name": "door", "version": "1.0", "group": "g"}
    assert server.client.ask("DELETE", one).body == b""
    assert server.client.get(NOTIFY).json == {"subscribers": []}


def test_the_feed_tells_what_changed_and_goes_on(server: Server) -> None:
    """Each answer's cursor is good for the next look, also when nothing is new."""
    server.client.post(f"/policy/{DOOR}/lock")

    first = server.client.get("/v1/events?limit=1").json
    second = server.client.get(f"/v1/events?cursor={first['next_cursor']}").json
    third = server.client.get(f"/v1/events?cursor={second['next_cursor']}").json

    (published,), (locked,) = first["events"], second["events"]
    assert (published["type"], published["revision"], published["actor"]) == ("published", 1, "test")
    assert (published["repository"], published["group"], published["name"], published["version"]) == (
        "demo",
        "g",
        "door",
        "1.0",
    )
    assert (locked["type"], locked["changed"]) == ("locked", ["locked"])
    assert third == {"events": [], "next_cursor": second["next_cursor"]}


def test_deliveries_are_listed_and_sent_again(server: Server, receivers: Callable[..., Receiver]) -> None:
    """With the event they tell about; metrics count them."""
    receiver = receivers(200)
    deliver(server)
    made = subscribe(server, receiver.url)
    server.client.post(f"/policy/{DOOR}/lock")
    deliver(server)

    (delivered,) = server.client.get("/v1/deliveries?state=delivered").json["deliveries"]
    assert (delivered["target"], delivered["attempts"]) == (f"webhook:{made['MongoID']}", 1)
    assert delivered["event"]["type"] == "locked"
    assert server.client.get("/v1/deliveries?target=nats:x").json["deliveries"] == []
    again = server.client.post(f"/v1/deliveries/{delivered['id']}/redeliver")
    assert (again.status, again.json["state"]) == (200, "pending")
    deliver(server)

    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert len(receiver.calls) == 2
    counted = server.client.get("/metrics").body.decode()
    assert 'policy_event_deliveries_total{result="delivered",sink="webhook"} 2.0' in counted
    assert "policy_event_outbox_pending 1.0" in counted or "policy_event_outbox_pending 0.0" in counted


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/events?cursor=x", 400),
        ("GET", "/v1/events?limit=0", 400),
        ("GET", f"/v1/events?cursor={'9' * 30}", 400),
        ("GET", "/v1/deliveries?state=lost", 400),
        ("GET", "/v1/deliveries?cursor=%00", 400),
        ("GET", "/v1/deliveries?limit=201", 400),
        ("POST", "/v1/deliveries/none/redeliver", 404),
    ],
)
def test_what_cannot_be_asked_is_a_problem(server: Server, method: str, target: str, status: int) -> None:
    """RFC 9457, because the policy service has no such addresses."""
    answer = server.client.ask(method, target)

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
