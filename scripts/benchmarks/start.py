"""`start`: from the start of the process to the first right answer, beside ``opa run -s``."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import servers
from benchmarks.book import pexip
from benchmarks.process import Ask, free_port, running, wait_for
from benchmarks.report import Report
from benchmarks.rounds import Measure, Unmeasured, interleave, progress
from benchmarks.stats import Better, Comparison
from benchmarks.subjects import Subject

OURS, OPA = "policy-server serve", "opa run -s"
_PAUSE = 0.002
_WORKERS = 2


def run(rounds: int, *, quick: bool) -> Report:
    """Measure second starts; the first one, in an empty state directory, is told as a fact."""
    subject = pexip(10 if quick else 100)
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    first: list[tuple[str, float]] = []
    with servers.home() as place:
        place.place(subject.case, subject.group, subject.policy)
        for name, make in ((OURS, _ours), (OPA, _opa)):
            try:
                measure = make(place, subject)
                progress(f"  first start: {name}")
                first.append((f"milliseconds of a first start, {name}", measure()["start"]))
                measures[name] = measure
            except Unmeasured as error:
                missing[name] = str(error)
        results = interleave(rounds, measures, missing)
    comparison = Comparison(
        f"second start to the first right Pexip answer, {_WORKERS} workers",
        "ms",
        Better.LESS,
        results.series(OURS, "start", "ours"),
        (results.series(OPA, "start"),),
        aim="ready in less than 2,000 ms",
    )
    note = "opa compiles its policy at every start and has one process; ours starts a master and its workers"
    return Report("start", (comparison,), notes=(note,), facts=tuple(first))


def _ours(place: servers.Home, subject: Subject) -> Measure:
    def measure() -> Mapping[str, float]:
        ready = subject.ours(free_port())
        return _timed(servers.serve_command(), place.environment(ready.port, _WORKERS, **subject.settings), ready)

    return measure


def _opa(place: servers.Home, subject: Subject) -> Measure:
    directory = place.root / "opa"
    subject.case.lay(directory)
    files = [directory / name for name in (*sorted(subject.case.modules), "data.json")]

    def measure() -> Mapping[str, float]:
        ready = subject.opa(free_port())
        return _timed(servers.opa_command(ready.port, files), None, ready)

    return measure


def _timed(command: Sequence[str | Path], environment: Mapping[str, str] | None, ready: Ask) -> dict[str, float]:
    began = time.perf_counter()
    with running(command, environment) as process:
        wait_for(ready, process, seconds=servers.READY_SECONDS, pause=_PAUSE)
        return {"start": (time.perf_counter() - began) * 1000}
