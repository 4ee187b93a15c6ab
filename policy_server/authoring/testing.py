"""Runs the tests of one unit in both places."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from policy_server.authoring.interpreter import Interpreter, Unit
from policy_server.authoring.runtime import Runtime
from policy_server.authoring.verdict import Status, Trial
from policy_server.model.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Tester:
    """Both places where tests run."""

    interpreter: Interpreter
    runtime: Runtime

    def run(self, unit: Unit, *, run: str = "", coverage: bool = False) -> tuple[list[Trial], JsonObject | None]:
        """Run the tests of a unit; CompileError, EvaluationError, ToolkitError as both places raise them."""
        trials, report = self.interpreter.run(unit, run=run, coverage=coverage)
        return self.runtime.run(unit, trials), report


def counted(trials: Iterable[Trial]) -> dict[str, int]:
    """Count: tests, those that are good in both places, failed, skipped, not available in WebAssembly, disagreeing."""
    found = list(trials)
    return {
        "tests": len(found),
        "passed": sum(each.interpreter.status is Status.PASS and each.is_good for each in found),
        "failed": sum(not each.is_good for each in found),
        "skipped": sum(each.interpreter.status is Status.SKIP for each in found),
        "unavailable": sum(each.wasm.status is Status.UNAVAILABLE for each in found),
        "disagreed": sum(not each.agrees for each in found),
    }


def merged(reports: Iterable[JsonObject]) -> JsonObject:
    """Join the coverage reports of several units to one, with totals; percentages have two digits."""
    files: dict[str, Json] = {}
    for report in reports:
        files |= cast("Mapping[str, Json]", report["files"])
    covered = sum(_lines(each, "covered_lines") for each in files.values())
    missed = sum(_lines(each, "not_covered_lines") for each in files.values())
    share = round(100 * covered / (covered + missed), 2) if covered + missed else 100.0
    return {"files": files, "covered_lines": covered, "not_covered_lines": missed, "coverage": share}


def _lines(report: Json, what: str) -> int:
    return cast("Mapping[str, int]", report).get(what) or 0


def percent(report: Json) -> float:
    """Return which share of a file was reached, with two digits."""
    return round(cast("Mapping[str, float]", report).get("coverage") or 0.0, 2)


def missed_rows(report: Json) -> str:
    """Tell which rows of a file were not reached: ``3, 7-9``."""
    ranges = cast("Mapping[str, Sequence[Mapping[str, Mapping[str, int]]]]", report).get("not_covered") or ()
    rows = dict.fromkeys((each["start"]["row"], each["end"]["row"]) for each in ranges)
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in rows)
