"""What a series of crashes found, as a line of a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from crash_checks import Kind
from crash_operations import Outcome
from crash_proxy import When

_HEAD: Final = ("database", "operation", "points", "before", "after", "in a call")
_TAIL: Final = ("lost", "half", "events missing", "stuck", "duplicates", "slowest recovery")


@dataclass
class Line:
    """One operation on one database."""

    backend: str
    operation: str
    outcomes: list[Outcome] = field(default_factory=list)
    trouble: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept at every point."""
        return not self.trouble and bool(self.outcomes)

    @property
    def killed(self) -> int:
        """At how many points a worker was killed."""
        return sum(each.fired for each in self.outcomes)

    def add(self, outcome: Outcome) -> None:
        """Take how one crash ended."""
        self.outcomes.append(outcome)
        if outcome.violation is not None:
            self.stop(str(outcome.violation))

    def stop(self, why: str) -> None:
        """Say why there are no more."""
        self.trouble = self.trouble or why

    def last(self) -> str:
        """Describe the newest outcome."""
        outcome = self.outcomes[-1]
        died = f"{outcome.seconds:.1f} s" if outcome.fired else "nobody was killed"
        return died if outcome.violation is None else str(outcome.violation)

    def cells(self) -> tuple[str, ...]:
        """Return the figures."""
        fired = [each for each in self.outcomes if each.fired]
        at = [each.point for each in fired if each.point.phase is None]
        numbers = [len(fired), *(sum(point.when is when for point in at) for when in When), len(fired) - len(at)]
        broken = [sum(each.violation is not None and each.violation.kind is kind for each in fired) for kind in Kind]
        slowest = max((each.seconds for each in fired), default=0.0)
        shown = [*numbers, *broken, sum(each.duplicates for each in fired)]
        return self.backend, self.operation, *map(str, shown), f"{slowest:.1f} s"


def to_table(lines: Sequence[Line]) -> str:
    """Lay the lines out for reading; troubles follow."""
    rows = [(*_HEAD, *_TAIL), *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*shown, *(f"{line.backend} {line.operation}: {line.trouble}" for line in lines if line.trouble)])
