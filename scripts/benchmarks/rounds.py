"""Measures contenders in turns, so that all of them meet the same machine."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.stats import Missing, Series

Measure = Callable[[], Mapping[str, float]]
"""Measures once and returns its figures by name."""


class Unmeasured(Exception):
    """A contender cannot be measured; the message is the reason."""


@dataclass(slots=True)
class Results:
    """What the rounds gave: figures by contender, and who gave up, with the reason."""

    figures: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def series(self, name: str, metric: str, label: str = "") -> Series | Missing:
        """Return one metric of a contender over all rounds, or why there is none."""
        shown = label or name
        if name in self.missing:
            return Missing(shown, self.missing[name])
        values = tuple(figures[metric] for figures in self.figures.get(name, ()) if metric in figures)
        return Series(shown, values) if values else Missing(shown, f"no figure named {metric}")


def progress(text: str) -> None:
    """Tell what is being done, beside the results."""
    print(text, file=sys.stderr, flush=True)


def interleave(rounds: int, contenders: Mapping[str, Measure], missing: Mapping[str, str] | None = None) -> Results:
    """Measure every contender once a round, forwards and backwards in turn.

    A contender that raises ``Unmeasured`` in any round is left out as a whole: half a series has no pairs.
    """
    results = Results(missing=dict(missing or {}))
    names = [name for name in contenders if name not in results.missing]
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            if name in results.missing:
                continue
            progress(f"  round {turn + 1}/{rounds}: {name}")
            try:
                results.figures.setdefault(name, []).append(contenders[name]())
            except Unmeasured as error:
                results.missing[name] = str(error)
    return results
