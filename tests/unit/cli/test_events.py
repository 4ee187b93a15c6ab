"""events: what changed and who was told, from a real store, without a server."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.model.policy import PolicyId
from policy_server.model.subscriber import Subscriber
from policy_server.ports import Store
from policy_server.storage.opening import open_store

SERVICE = "bundled/pexip/service/1.0"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(command: Callable[..., Ran], tmp_path: Path) -> Iterator[Store]:
    """A store with the bundled policies, one subscriber, and one dead letter for it."""
    assert command("seed").code == 0
    opened = open_store(f"sqlite:///{tmp_path}/state/policies.db")
    opened.subscribers.add(Subscriber("0" * 24, PolicyId.parse(SERVICE), "somebody", "https://a/b", AT, AT, "whsec_x"))
    (event, *_) = opened.outbox.undispatched(100)
    opened.outbox.dispatch(event, [f"webhook:{'0' * 24}"], at=AT)
    (claimed,) = opened.outbox.claim(9, at=AT, until=AT)
    opened.outbox.bury(claimed, error="the receiver answered 500", at=AT)
    yield opened
    opened.close()


def test_changes_are_listed(command: Callable[..., Ran], store: Store) -> None:
    """Oldest first; the next list goes on where this one ended."""
    lines = [line.split("\t") for line in command("events", "list").out.splitlines()]
    first = json.loads(command("events", "list", "--limit", 2, "--format", "json").out)
    later = command("events", "list", "--cursor", first["next_cursor"]).out.splitlines()

    assert {(line[2], line[6]) for line in lines} == {("published", "bundled")}
    assert [int(line[0]) for line in lines] == sorted(int(line[0]) for line in lines)
    assert ["\t".join(line) for line in lines[2:]] == later


def test_dead_letters_are_listed_and_sent_again(command: Callable[..., Ran], store: Store) -> None:
    """With the reason; an unknown one is a no, exit 1."""
    (line,) = command("events", "deliveries", "--state", "dead").out.splitlines()
    delivery, state, attempts, policy, _, error = line.split("\t")
    assert (state, attempts, error) == ("dead", "1", "the receiver answered 500")
    assert policy.startswith("bundled/pexip/")

    assert command("events", "redeliver", delivery) == Ran(0, "", f"{delivery} is due again\n")

    assert command("events", "deliveries", "--state", "dead").out == ""
    assert command("events", "deliveries", "--state", "pending").out.startswith(delivery)
    assert command("events", "redeliver", "none").code == 1
    assert "none" in command("events", "redeliver", "none").err


def test_subscribers_are_listed_without_their_secrets(command: Callable[..., Ran], store: Store) -> None:
    """Id, name, state and address."""
    ran = command("events", "subscribers", SERVICE)
    shown = command("events", "subscribers", SERVICE, "--format", "json").out

    assert ran.out.split("\t")[:4] == ["0" * 24, "somebody", "active", "https://a/b"]
    assert "whsec_" not in ran.out + shown
    assert json.loads(shown)[0]["MongoID"] == "0" * 24


def test_a_wrong_state_is_told(command: Callable[..., Ran], store: Store) -> None:
    """With those there are."""
    ran = command("events", "deliveries", "--state", "lost")

    assert ran.code == 1
    assert "pending, delivered, dead" in ran.err
