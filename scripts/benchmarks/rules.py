"""`rules`: a list of 10, 100 and 1,000 rules, looked at to its end."""

from benchmarks.book import rule_book
from benchmarks.cases import Case, conditions, equality
from benchmarks.engine import LIBRARY, OPA, OPA_NOTE, OURS, contenders
from benchmarks.places import PYTHON
from benchmarks.report import Report
from benchmarks.rounds import Unmeasured, interleave, progress
from benchmarks.stats import Better, Comparison

SIZES = (10, 100, 1000)
_AIM = "at least 10 × opa bench"


def run(rounds: int, *, quick: bool) -> Report:
    """Measure each kind of rule list at each size."""
    sizes = SIZES[:1] if quick else SIZES
    comparisons: list[Comparison] = []
    notes = [OPA_NOTE]
    for kind in (equality, conditions, rule_book):
        try:
            for size in sizes:
                comparisons += _measure(kind(size), rounds, quick=quick)
        except Unmeasured as error:
            notes.append(f"{kind.__name__} not measured: {error}")
    return Report("rules", tuple(comparisons), notes=tuple(notes))


def _measure(case: Case, rounds: int, *, quick: bool) -> list[Comparison]:
    progress(case.name)
    count, seconds = (100, 0.5) if quick else (20_000, 3.0)
    with contenders(case, {OURS: PYTHON}, count=count, seconds=seconds) as (measures, missing):
        results = interleave(rounds, measures, missing)
    return [
        Comparison(
            f"{case.name}, {metric}",
            "µs",
            Better.LESS,
            results.series(OURS, metric),
            (results.series(OPA, metric), results.series(LIBRARY, metric)),
            aim=_AIM,
        )
        for metric in ("median", "mean")
    ]
