"""Pauses grow from five seconds until a day has gone by."""

from datetime import timedelta

import pytest

from policy_server.events.backoff import Backoff


def pauses(backoff: Backoff, chance: float = 0.5) -> list[float]:
    """Return all pauses, in seconds."""
    found: list[float] = []
    while (pause := backoff.pause(len(found) + 1, chance)) is not None:
        found.append(pause.total_seconds())
    return found


def test_a_delivery_is_tried_for_a_day() -> None:
    """Thirteen attempts; the pauses triple to six hours and make a day together."""
    found = pauses(Backoff())

    assert found[:8] == [5, 15, 45, 135, 405, 1215, 3645, 10935]
    assert max(found) == 6 * 3600
    assert sum(found) == 24 * 3600


def test_a_broker_is_tried_more_often() -> None:
    """The longest pause limits all."""
    found = pauses(Backoff(longest=30))

    assert found[:4] == [5, 15, 30, 30]
    assert sum(found) == 24 * 3600


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_pauses_are_spread(chance: float, factor: float) -> None:
    """By a fifth to either side."""
    assert Backoff().pause(2, chance) == timedelta(seconds=15 * factor)
