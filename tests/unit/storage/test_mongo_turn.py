"""Who was overtaken again and again gets a turn, and nobody waits long for it."""

import threading
import time
from collections.abc import Iterator

import pytest
from database_servers import mongodb_url

from policy_server.model.policy import Failure, PolicyId
from policy_server.ports import Store
from policy_server.storage.listing import utc
from policy_server.storage.mongo_micros import from_micros
from policy_server.storage.mongo_turn import OVERTAKEN, Turn
from policy_server.storage.opening import open_store

POLICY = PolicyId("r", "g", "n", "1")
FAILURE = Failure("c", "m", utc(from_micros(0)), "d")


@pytest.fixture
def store() -> Iterator[Store]:
    """A store in an empty database."""
    opened = open_store(mongodb_url())
    yield opened
    opened.close()


def turn_of(store: Store) -> Turn:
    """Make a turn of another writer."""
    return Turn(store._journal._state)  # type: ignore[attr-defined]


def test_others_leave_the_turn_to_whoever_was_overtaken(store: Store) -> None:
    """Their changes come after it was given back."""
    turn = turn_of(store)
    for _ in range(OVERTAKEN):
        turn.lose()
    other = threading.Thread(target=store.fail, args=(POLICY, FAILURE))

    other.start()
    other.join(0.3)
    assert store.stamp() == 0
    turn.end()
    other.join(20)

    assert store.stamp() == 1


def test_who_lost_a_race_or_two_has_no_turn(store: Store) -> None:
    """That is everyday, and asks for nothing."""
    turn = turn_of(store)
    for _ in range(OVERTAKEN - 1):
        turn.lose()

    store.fail(POLICY, FAILURE)

    assert store.stamp() == 1


def test_the_turn_of_a_writer_that_was_killed_is_soon_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never given back, and runs out."""
    turn = turn_of(store)
    for _ in range(OVERTAKEN):
        turn.lose()
    later = time.time_ns() + 6_000_000_000
    monkeypatch.setattr("policy_server.storage.mongo_turn.time.time_ns", lambda: later)

    store.fail(POLICY, FAILURE)

    assert store.stamp() == 1


def test_only_one_writer_has_the_turn(store: Store) -> None:
    """A second one that was overtaken as often waits like the others."""
    first, second = turn_of(store), turn_of(store)
    for turn in (first, second):
        for _ in range(OVERTAKEN):
            turn.lose()
    state = store._journal._state.find_one({"_id": "stamp"})  # type: ignore[attr-defined]

    assert (first.is_of_another(state), second.is_of_another(state)) == (False, True)
    second.end()
    first.end()
    assert store._journal._state.find_one({"_id": "stamp"})["turn"] is None  # type: ignore[attr-defined]
