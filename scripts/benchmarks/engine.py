"""`engine`: one evaluation of a trivial policy, and what a million of them leave in memory."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks import native, peers
from benchmarks.cases import Case, trivial
from benchmarks.places import CACHE, IMPORTS, PYTHON
from benchmarks.process import Worker, resident
from benchmarks.report import Report
from benchmarks.rounds import Measure, Results, Unmeasured, interleave, progress
from benchmarks.stats import Better, Comparison

OURS, VALUES, OPA, LIBRARY = "ours-bytes", "ours-values", "opa bench", "OPA's Go library, bytes in and out"
SDKS = ("opa-py-wasm", "opa-wasmtime")
PEERS = (OPA, LIBRARY, *SDKS)
OPA_NOTE = (
    "opa bench leaves out reading the input and writing the answer, ours contains both; its mean pauses the timer "
    "between evaluations, which costs it some cache, its own timer (median, p99) starts inside that"
)


def run(rounds: int, *, quick: bool) -> Report:
    """Measure one evaluation of the trivial policy through every contender."""
    case = trivial()
    count, seconds = (500, 1.0) if quick else (50_000, 5.0)
    libraries = {OURS: PYTHON, VALUES: PYTHON, **dict.fromkeys(SDKS)}
    with contenders(case, libraries, count=count, seconds=seconds) as (measures, missing):
        results = interleave(rounds, measures, missing)
    return Report(
        "engine",
        (
            _compare(results, "one evaluation, bytes in and out, median", "median", OURS, PEERS, _AIM_MEDIAN),
            _compare(results, "one evaluation, bytes in and out, mean", "mean", OURS, PEERS, _AIM_MEAN),
            _compare(results, "one evaluation, bytes in and out, p99", "p99", OURS, PEERS),
            _compare(results, "one evaluation, Python values in and out, median", "median", VALUES, PEERS),
        ),
        notes=(OPA_NOTE, "the SDKs take and return Python values; each runs in a process and environment of its own"),
    )


_AIM_MEDIAN = "at most 15 µs; at least 15 × opa-py-wasm"
_AIM_MEAN = "at least 2 × opa bench, whose headline is the mean"


def _compare(results: Results, case: str, metric: str, ours: str, others: tuple[str, ...], aim: str = "") -> Comparison:
    return Comparison(
        case,
        "µs",
        Better.LESS,
        results.series(ours, metric),
        tuple(results.series(name, metric) for name in others),
        aim=aim,
    )


@contextlib.contextmanager
def contenders(
    case: Case, libraries: dict[str, Path | None], *, count: int, seconds: float
) -> Iterator[tuple[dict[str, Measure], dict[str, str]]]:
    """Prepare ``opa bench`` and the named libraries (by the Python that has them; None: a peer's own environment)."""
    directory = case.write(CACHE / "cases" / case.name.replace(" ", "-").replace(",", ""))
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    question: dict[str, object] = {"count": count, "warm": max(10, count // 20), "seconds": seconds}
    with contextlib.ExitStack() as stack:
        for name, python in libraries.items():
            try:
                worker = library(name, python or peers.sdk(name), directory, limit=60 + 4 * seconds)
            except Unmeasured as error:
                missing[name] = str(error)
                continue
            stack.callback(worker.close)
            measures[name] = _asking(worker, question)
        try:
            worker = Worker([peers.library(), directory, case.query], os.environ, 60 + 4 * seconds)
        except Unmeasured as error:
            missing[LIBRARY] = str(error)
        else:
            stack.callback(worker.close)
            measures[LIBRARY] = _asking(worker, question)
        try:
            measures[OPA] = native.contender(case, directory)
        except Unmeasured as error:
            missing[OPA] = str(error)
        yield measures, missing


def _asking(worker: Worker, question: dict[str, object]) -> Measure:
    return lambda: worker.ask(question)


def library(name: str, python: Path, directory: Path, *, limit: float) -> Worker:
    """Return the process that evaluates a case through one library; it starts with the first question."""
    environment = {**os.environ, "PYTHONPATH": IMPORTS}
    return Worker([python, "-m", "benchmarks.contender", name, directory], environment, limit)


def memory(*, quick: bool) -> Report:
    """Show the resident memory of one process over a million evaluations, then over a thousand reloads."""
    evaluations, reloads = (2_000, 20) if quick else (1_000_000, 1_000)
    directory = trivial().write(CACHE / "cases" / "trivial")
    worker = library(OURS, PYTHON, directory, limit=900)
    facts: list[tuple[str, float]] = []
    try:
        done = 0
        for part in (0.01, 0.1, 0.5, 1.0):
            todo = int(evaluations * part) - done
            progress(f"  {todo:,} evaluations")
            worker.ask({"do": "repeat", "count": todo})
            done += todo
            facts.append((f"resident MiB after {done:,} evaluations", resident(worker.pid)))
        done = 0
        for part in (0.01, 0.1, 0.5, 1.0):
            todo = max(1, int(reloads * part)) - done
            progress(f"  {todo:,} reloads")
            taken = worker.ask({"do": "reload", "count": todo})
            done += todo
            facts.append((f"resident MiB after {done:,} reloads", resident(worker.pid)))
        facts.append(("milliseconds per reload and evaluation", taken["milliseconds"]))
    finally:
        worker.close()
    return Report("engine --memory", (), facts=tuple(facts))
