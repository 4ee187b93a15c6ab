"""Workers that are killed in the middle of their work; ``scripts/replicas`` tries every step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_checks import Checks
from crash_operations import Operation, Outcome, Point, operations
from crash_proxy import When
from crash_receivers import Phase
from crash_run import at_points
from crash_world import URLS, World, opened

POINTS = {
    "lock": (Point(1, When.BEFORE, label="INSERT events"), Point(1, When.AFTER, label="INSERT events")),
    "publish": (Point(1, When.BEFORE, label="SELECT policies"), Point(1, When.AFTER, label="INSERT events")),
    "delivery": (Point(1, When.BEFORE, label="INSERT deliveries"), Point(phase=Phase.ANSWERED)),
    "refresh": (Point(1, When.AFTER, label="INSERT audit"), Point(phase=Phase.HALF)),
}


@pytest.fixture(params=URLS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Two servers of one worker each, on one database; authors ask the one that does not do the background work."""
    with opened(tmp_path, request.param, workers=1, first=1) as made:
        yield made


def crashes(world: World) -> Iterator[Outcome]:
    """Crash at a few points of each operation."""
    checks = Checks(world)
    for operation in operations(world.backend):
        operation.prepare(world, checks)
        checks.begin()
        for point in POINTS[operation.name]:
            yield crash_at(world, checks, operation, point)


def crash_at(world: World, checks: Checks, operation: Operation, point: Point) -> Outcome:
    """Crash at a point; where the operation never came that far, because the machine was busy, it is begun again."""
    for _ in range(3):
        (outcome,) = at_points(world, checks, operation, [point])
        if outcome.fired or outcome.violation is not None:
            break
    return outcome


def test_a_worker_that_is_killed_loses_nothing_and_leaves_nothing_half(world: World) -> None:
    """Whatever it was doing: what was acknowledged is there, what was not can be repeated, and all is told."""
    outcomes = list(crashes(world))

    assert [str(each.violation) for each in outcomes if each.violation is not None] == []
    assert [str(each.point) for each in outcomes if not each.fired] == []
    assert len(outcomes) == sum(map(len, POINTS.values()))
