"""Measures how fast a policy answers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Evaluations that were timed one by one; times in nanoseconds."""

    count: int
    per_second: float
    median_ns: int
    p99_ns: int


def measure(evaluate: Callable[[], object], *, count: int, seconds: float) -> list[int]:
    """Evaluate until it was ``count`` times or took ``seconds``; return each time in nanoseconds."""
    durations: list[int] = []
    until = time.perf_counter() + seconds
    clock = time.perf_counter_ns
    while len(durations) < count and time.perf_counter() < until:
        since = clock()
        evaluate()
        durations.append(clock() - since)
    return durations


def summed(durations: Sequence[int]) -> Measured:
    """Say what the times of one or more evaluations amount to."""
    ordered = sorted(durations)
    count = len(ordered)
    return Measured(
        count, count / (sum(ordered) / 1e9), ordered[count // 2], ordered[min(count - 1, count * 99 // 100)]
    )
