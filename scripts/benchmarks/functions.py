"""`builtins`: an evaluation with a call of each of OPA's functions, here and in OPA's own evaluator."""

import contextlib
import os
from collections.abc import Mapping

from benchmarks import peers, samples
from benchmarks.cases import Case
from benchmarks.engine import LIBRARY, OURS, library
from benchmarks.places import CACHE, PYTHON
from benchmarks.process import Worker
from benchmarks.report import Report
from benchmarks.rounds import Measure, Results, Unmeasured, interleave
from benchmarks.stats import Better, Comparison, Missing, Series

_NOTHING = "input.s"
"""What is measured beside every call, to be subtracted: an evaluation that calls nothing."""


def run(rounds: int, *, quick: bool) -> Report:
    """Measure every sample call."""
    count, seconds = (200, 0.2) if quick else (4_000, 1.0)
    chosen = samples.calls()[::10] if quick else samples.calls()
    question = {"count": count, "warm": count // 4, "seconds": seconds}
    return Report(
        "builtins",
        tuple(_comparison(call, rounds, question) for call in chosen),
        notes=(
            f"the call alone is the median of that evaluation less that of one with {_NOTHING} instead",
            f"the peer is {LIBRARY}: OPA's evaluator, bytes in and out like ours",
        ),
    )


def _comparison(call: str, rounds: int, question: Mapping[str, object]) -> Comparison:
    try:
        results = _measured(call, rounds, dict(question))
    except Unmeasured as error:
        missing = Missing(OURS, str(error))
        return Comparison(call, "µs", Better.LESS, missing, (Missing(LIBRARY, str(error)),))
    return Comparison(
        call,
        "µs",
        Better.LESS,
        results.series(f"{OURS} call", "median", "ours"),
        (results.series(f"{LIBRARY} call", "median", "OPA's evaluator"),),
        derived=tuple(_cost(results, name, label) for name, label in ((OURS, "ours"), (LIBRARY, "OPA's evaluator"))),
    )


def _measured(call: str, rounds: int, question: dict[str, object]) -> Results:
    with contextlib.ExitStack() as stack:
        measures: dict[str, Measure] = {}
        for what, expression in (("call", call), ("nothing", _NOTHING)):
            case = _case(expression)
            directory = case.write(CACHE / "cases" / "builtins" / what)
            for name, worker in (
                (OURS, library(OURS, PYTHON, directory, limit=60)),
                (LIBRARY, Worker([peers.library(), directory, case.query], os.environ, 60)),
            ):
                stack.callback(worker.close)
                measures[f"{name} {what}"] = lambda worker=worker: worker.ask(question)  # type: ignore[misc]
        return interleave(rounds, measures)


def _case(expression: str) -> Case:
    rego = f"package bench.call\n\nx := count([v | v := {expression}]) == 1\n"
    return Case(expression, {"policy.rego": rego}, "bench/call/x", samples.INPUT, expected=True)


def _cost(results: Results, name: str, label: str) -> Series:
    whole, nothing = results.series(f"{name} call", "median"), results.series(f"{name} nothing", "median")
    if isinstance(whole, Missing) or isinstance(nothing, Missing):
        return Series(f"the call alone, {label}", ())
    return Series(
        f"the call alone, {label}", tuple(round(a - b, 2) for a, b in zip(whole.values, nothing.values, strict=True))
    )
