"""Shows outcomes as tables or as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from opa_suite.known import Known
from opa_suite.laboratory import Outcome

SUITES = ("v1", "v0", "wasm")


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of a run, beside the list of known differences."""

    outcomes: Sequence[Outcome]
    known: Known
    seconds: float

    @property
    def unexpected(self) -> list[Outcome]:
        """Cases that fail and are not listed."""
        return [each for each in self.outcomes if not each.passed and each.case.name not in self.known]

    @property
    def mended(self) -> list[Outcome]:
        """Cases that are listed and pass."""
        return [each for each in self.outcomes if each.passed and each.case.name in self.known]

    @property
    def good(self) -> bool:
        """Whether the list says exactly what happened."""
        return not self.unexpected and not self.mended


def to_json(report: Report) -> str:
    """Return the report as one JSON document."""
    strict = [each.raised for each in report.outcomes if each.raised is not None]
    document = {
        "seconds": round(report.seconds, 1),
        "total": _totals(report.outcomes),
        "categories": {
            suite: {name: _figures(group) for name, group in _grouped(report.outcomes, suite).items()}
            for suite in SUITES
        },
        "raised_when_strict": {
            "raised": sum(strict),
            "cases": len(strict),
            "not_raised": [each.case.name for each in report.outcomes if each.raised is False],
        },
        "unexpected": [_shown(each) for each in report.unexpected],
        "mended": [each.case.name for each in report.mended],
        "known": [
            _shown(each) | {"reason": report.known[each.case.name]}
            for each in report.outcomes
            if not each.passed and each.case.name in report.known
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def show(report: Report, console: Console) -> None:
    """Print categories, totals, reasons, and what was not expected."""
    console.print(_categories(report))
    for suite, figures in _totals(report.outcomes).items():
        console.print(f"{suite}: {figures['passed']} of {figures['cases']} pass")
    strict = [each.raised for each in report.outcomes if each.raised is not None]
    console.print(f"errors of strict mode: {sum(strict)} of {len(strict)} are raised where strictness is asked for")
    listed = [each for each in report.outcomes if not each.passed and each.case.name in report.known]
    if listed:
        console.print(_reasons(report, listed))
    for each in report.unexpected:
        console.print(f"[red]{each.kind}[/red] {escape(each.case.name)}\n  {escape(each.detail)}", soft_wrap=True)
    for each in report.mended:
        console.print(f"[yellow]passes, but is listed[/yellow] {escape(each.case.name)}", soft_wrap=True)
    verdict = "[green]as listed[/green]" if report.good else "[red]not as listed[/red]"
    console.print(f"{len(report.outcomes)} cases in {report.seconds:.0f} s: {verdict}")


def _categories(report: Report) -> Table:
    table = Table("category", box=None)
    groups = {suite: _grouped(report.outcomes, suite) for suite in SUITES}
    for suite in SUITES:
        table.add_column(suite, justify="right")
    for name in sorted(set().union(*groups.values())):
        table.add_row(name, *(_cell(groups[suite].get(name, [])) for suite in SUITES))
    return table


def _cell(group: Sequence[Outcome]) -> str:
    if not group:
        return ""
    passed = sum(each.passed for each in group)
    return f"{passed}/{len(group)}" if passed == len(group) else f"[yellow]{passed}/{len(group)}[/yellow]"


def _reasons(report: Report, listed: Iterable[Outcome]) -> Table:
    table = Table("known difference", box=None)
    table.add_column("cases", justify="right")
    for reason, count in Counter(report.known[each.case.name] for each in listed).most_common():
        table.add_row(escape(reason or "no reason given"), str(count))
    return table


def _grouped(outcomes: Iterable[Outcome], suite: str) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for each in outcomes:
        if each.case.suite == suite:
            groups.setdefault(each.case.category, []).append(each)
    return groups


def _totals(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    groups = {suite: [each for each in outcomes if each.case.suite == suite] for suite in SUITES}
    return {suite: _figures(group) for suite, group in groups.items() if group}


def _figures(group: Sequence[Outcome]) -> dict[str, int]:
    kinds = Counter(str(each.kind) for each in group if not each.passed)
    return {"cases": len(group), "passed": sum(each.passed for each in group), **dict(sorted(kinds.items()))}


def _shown(outcome: Outcome) -> dict[str, str]:
    return {"case": outcome.case.name, "kind": str(outcome.kind), "detail": outcome.detail}
