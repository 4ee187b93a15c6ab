"""Shows comparisons as a table or as JSON."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.stats import Better, Comparison, Missing, Series, ratios, spread


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one benchmark found."""

    bench: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, float | int | str], ...] = ()


def machine() -> dict[str, object]:
    """Describe where this runs; the load tells whether the machine was quiet."""
    return {
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def to_json(report: Report, *, rounds: int, quick: bool, before: object, after: object) -> str:
    """Return the report as one JSON document."""
    document = {
        "bench": report.bench,
        "quick": quick,
        "rounds": rounds,
        "machine": {"before": before, "after": after},
        "comparisons": [_comparison(item) for item in report.comparisons],
        "facts": dict(report.facts),
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _comparison(item: Comparison) -> dict[str, object]:
    return {
        "case": item.case,
        "unit": item.unit,
        "better": item.better.value,
        "aim": item.aim,
        "ours": _figure(item.ours),
        "peers": [_figure(peer) | _ratio(item, peer) for peer in item.peers],
        "derived": [_figure(series) for series in item.derived],
    }


def _figure(item: Series | Missing) -> dict[str, object]:
    if isinstance(item, Missing):
        return {"name": item.name, "not_measured": item.reason}
    found = spread(item.values)
    return {
        "name": item.name,
        "median": found.median,
        "min": found.least,
        "max": found.most,
        "values": list(item.values),
    }


def _ratio(item: Comparison, peer: Series | Missing) -> dict[str, object]:
    pairs = _pairs(item, peer)
    if not pairs:
        return {}
    found = spread(pairs)
    return {"ratio": {"median": found.median, "min": found.least, "max": found.most}}


def _pairs(item: Comparison, peer: Series | Missing) -> tuple[float, ...]:
    if isinstance(peer, Missing) or isinstance(item.ours, Missing):
        return ()
    return ratios(item.ours.values, peer.values, item.better)


def to_table(report: Report) -> str:
    """Return the report as text for a terminal."""
    lines = []
    for item in report.comparisons:
        good = "less is better" if item.better is Better.LESS else "more is better"
        lines += ["", f"{item.case} [{item.unit}, {good}]"]
        lines += [f"  aim: {item.aim}"] if item.aim else []
        lines += _aligned(_rows(item))
    if report.facts:
        lines += ["", *_aligned((name, number(value), "") for name, value in report.facts)]
    lines += ["", *(f"note: {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines).lstrip("\n")


def _rows(item: Comparison) -> Iterable[tuple[str, str, str]]:
    yield _row("ours", item.ours, "")
    for peer in item.peers:
        pairs = _pairs(item, peer)
        yield _row(peer.name, peer, f"ours is {_spread(pairs)} × as good" if pairs else "")
    for series in item.derived:
        yield _row(f"→ {series.name}", series, "")


def _row(name: str, item: Series | Missing, ratio: str) -> tuple[str, str, str]:
    if isinstance(item, Missing):
        return name, f"not measured: {item.reason}", ""
    return name, _spread(item.values), ratio


def _spread(values: Sequence[float]) -> str:
    found = spread(values)
    return f"{number(found.median)} ({number(found.least)}–{number(found.most)})"


def _aligned(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    table = list(rows)
    first = max(len(name) for name, _, _ in table)
    second = max((len(figure) for _, figure, ratio in table if ratio), default=0)
    return [f"  {name:<{first}}  {figure:<{second if ratio else 0}}  {ratio}".rstrip() for name, figure, ratio in table]


def number(value: float | str) -> str:
    """Write a number with three figures that count."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
