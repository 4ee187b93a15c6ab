"""Running servers tell others what changed: once, soon, and after a crash."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from acceptance_server import Server, wait_until
from database_servers import mongodb_url, postgresql_url
from event_receivers import NatsListener, NatsServer, Receiver, receiving

LOOPBACK = {"allowed_networks": "127.0.0.1", "event_retry": "0.1"}
REGO = "package g.door\n\nn := {}\n"


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Make HTTP receivers."""
    with receiving() as make:
        yield make


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A real server that is not started yet."""
    server = NatsServer()
    yield server
    server.close()


def subscribe(server: Server, receiver: Receiver) -> str:
    """Publish the policy, subscribe a receiver, return the subscriber's id."""
    server.write("door", REGO.format(0))
    wait_until(lambda: server.ask("door").status_code == 200, "it answers")
    body = {"webhook_url": receiver.url, "subscriber": "somebody"}
    made = requests.post(f"{server.url}/policy/demo/g/door/1.0/notifychange", json=body, timeout=30)
    assert made.status_code == 200, made.text
    return str(made.json()["MongoID"])


def locked(server: Server, times: int) -> None:
    """Lock and unlock the policy, so many changes together."""
    for number in range(times):
        method = "DELETE" if number % 2 else "POST"
        assert requests.request(method, f"{server.url}/policy/demo/g/door/1.0/lock", timeout=30).status_code == 200


def locks(server: Server) -> set[str]:
    """Return the ids of all events about locks."""
    events = requests.get(f"{server.url}/v1/events?limit=1000", timeout=30).json()["events"]
    return {event["id"] for event in events if event["type"] in {"locked", "unlocked"}}


def told(receiver: Receiver) -> list[str]:
    """Return the ids that came, in order."""
    return [call.headers["webhook-id"] for call in list(receiver.calls)]


def deliveries(server: Server) -> list[tuple[str, str]]:
    """Return target and state of all deliveries."""
    found = requests.get(f"{server.url}/v1/deliveries", timeout=30).json()["deliveries"]
    return [(each["target"], each["state"]) for each in found]


@pytest.mark.parametrize("url", [postgresql_url, mongodb_url], ids=["postgresql", "mongodb"])
def test_two_servers_on_one_database_tell_each_change_once(
    new_server: Callable[..., Server], receivers: Callable[..., Receiver], url: Callable[[], str], tmp_path: Path
) -> None:
    """Whichever of them a change went to; four workers in all."""
    shared, receiver = url(), receivers(200)
    one, two = (new_server(storage_url=shared, state_dir=str(tmp_path / name), **LOOPBACK) for name in ("one", "two"))
    one.start()
    two.start()
    subscribe(one, receiver)

    locked(one, 4)
    locked(two, 4)
    changes = locks(two)
    wait_until(lambda: changes <= set(told(receiver)), "all came")
    wait_until(lambda: {state for _, state in deliveries(two)} == {"delivered"}, "all are noted")

    assert len(changes) == 8
    assert len(told(receiver)) == len(set(told(receiver)))


def test_a_worker_that_is_killed_while_delivering_loses_nothing(
    new_server: Callable[..., Server], receivers: Callable[..., Receiver]
) -> None:
    """Whoever takes over delivers what was on its way when the claims have run out."""
    server, receiver = new_server(**LOOPBACK, event_timeout="0.5"), receivers(200)
    server.start()
    subscribe(server, receiver)
    receiver.answer(0)
    locked(server, 6)
    receiver.wait(len(receiver.calls) + 1)

    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    receiver.answer(200)
    changes = locks(server)
    wait_until(lambda: changes <= set(told(receiver)), "all came")
    wait_until(lambda: {state for _, state in deliveries(server)} == {"delivered"}, "all are noted")
    assert len(changes) == 6


def test_nats_that_is_away_delays_events_and_nothing_else(
    new_server: Callable[..., Server], nats_server: NatsServer
) -> None:
    """Decisions go on, health tells, and when it is there it gets everything."""
    server = new_server(nats_url=nats_server.address, event_format="changed", **LOOPBACK)
    server.start()
    server.write("door", REGO.format(1))
    wait_until(lambda: server.ask("door").status_code == 200, "it answers without NATS")

    def trouble() -> bool:
        checks = requests.get(f"{server.url}/readyz?verbose", timeout=30).json()["checks"]
        return any(check["name"] == "events" and "no server can be reached" in check["message"] for check in checks)

    wait_until(trouble, "health tells")
    nats_server.start()
    # What waited may go out before anybody listens; what happens from now on may not.
    with closing(NatsListener(nats_server, "policy_notifier")) as listener:
        locked(server, 1)
        while listener.next()["data"]["change"] != "locked":
            pass

    wait_until(lambda: {state for _, state in deliveries(server)} == {"delivered"}, "nothing waits")
