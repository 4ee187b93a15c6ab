"""The command line of ``scripts/replicas``: crashes at every point of every operation, on both databases."""

import argparse
import sys
import tempfile
import time
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Final

import database_servers
from crash_checks import Checks
from crash_operations import Operation, Outcome, Point, crash, operations
from crash_proxy import When
from crash_report import Line, to_table
from crash_world import URLS, World, opened

_OPERATIONS: Final = ("lock", "publish", "delivery", "refresh")
_WHOLE: Final = 5
"""At every so manieth point all of the server is killed: master and workers."""


def series(world: World, operation: Operation, *, points: int | None = None) -> Iterator[Outcome]:
    """Crash at all points of an operation, or at some that are spread over them; yield how each ended.

    How many requests there are is found out by letting it happen, and then by going on until it
    is over before the next point is reached.
    """
    checks = Checks(world)
    operation.prepare(world, checks)
    checks.begin()
    for _ in range(2):  # the first time other things may still be under way
        yield crash(world, checks, operation, Point())
    requests = len(world.trap.seen)
    known = [Point(number, when) for number in range(1, requests + 1) for when in When]
    calls = [Point(phase=phase) for phase in operation.phases]
    if points is None:
        later = (Point(number, when) for number in count(requests + 1) for when in When)
        yield from _until_over(world, checks, operation, known + calls, later)
    else:
        last = calls[-1:]
        yield from at_points(world, checks, operation, [*_spread(known, points - len(last)), *last])


def _until_over(
    world: World, checks: Checks, operation: Operation, known: list[Point], later: Iterator[Point]
) -> Iterator[Outcome]:
    yield from at_points(world, checks, operation, known)
    for outcome in at_points(world, checks, operation, later):
        if not outcome.fired:
            return
        yield outcome


def at_points(world: World, checks: Checks, operation: Operation, points: Iterable[Point]) -> Iterator[Outcome]:
    """Crash at these points of an operation that is prepared, until a promise is broken."""
    for number, point in enumerate(points, 1):
        world.whole = number % _WHOLE == 0
        outcome = crash(world, checks, operation, point)
        yield outcome
        if outcome.violation is not None:
            return  # what follows would only repeat it


def _spread(points: list[Point], wanted: int) -> list[Point]:
    return [points[(2 * each + 1) * len(points) // (2 * wanted)] for each in range(wanted)]


def main() -> int:
    """Run what is asked for and print a table; 1 when a promise was broken."""
    arguments = _parser().parse_args()
    chosen = [
        (backend, operation)
        for backend in URLS
        for operation in operations(backend)
        if _is_wanted(backend, URLS, arguments.only) and _is_wanted(operation.name, _OPERATIONS, arguments.only)
    ]
    until = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="replicas-") as root, ThreadPoolExecutor(arguments.jobs) as pool:
        made = [
            pool.submit(_line, Path(root) / f"{backend}-{operation.name}", backend, operation, arguments.points, until)
            for backend, operation in chosen
        ]
        lines = [each.result() for each in made]
    database_servers.leave()
    sys.stdout.write(to_table(lines) + "\n")
    return 0 if all(line.is_good for line in lines) else 1


def _line(directory: Path, backend: str, operation: Operation, points: int | None, until: float) -> Line:
    line = Line(backend, operation.name)
    try:
        with opened(directory, backend) as world:
            for outcome in series(world, operation, points=points):
                line.add(outcome)
                _progress(f"{backend} {operation.name}: {outcome.point} ({outcome.label}): {line.last()}")
                if outcome.violation is not None:
                    _progress("\n".join(server.log()[-4000:] for server in world.servers))
                if time.monotonic() > until:
                    line.stop("no time left")
                    break
    except AssertionError as error:
        line.stop(str(error))
    if line.trouble:
        _progress(f"{backend} {operation.name}: {line.trouble}")
    return line


def _is_wanted(name: str, of: Container[str], only: list[str]) -> bool:
    """Tell whether a database, or an operation, is named, or none is."""
    return name in only or not any(each in of for each in only)


def _progress(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/replicas", description=__doc__)
    parser.add_argument("--points", type=int, help="crash only at so many points of each operation")
    parser.add_argument(
        "--only", action="append", default=[], choices=[*URLS, *_OPERATIONS], help="this database, or this operation"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many pairs of servers run at once")
    parser.add_argument("--minutes", type=float, default=120, help="stop after this time; what is left is a failure")
    return parser


if __name__ == "__main__":
    sys.exit(main())
