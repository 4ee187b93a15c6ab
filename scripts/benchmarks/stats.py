"""Medians, percentiles and ratios of pairs; nothing here measures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median


class Better(StrEnum):
    """Which way a figure is good."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Spread:
    """Several values of one figure, said in three numbers."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Series:
    """What one contender measured, one value a round, in order."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A contender that could not be measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of ours beside the peers' figures of the same rounds.

    ``aims`` name what the issue asks for, by peer ("" is our own figure), in
    the words of the report. ``derived`` are further figures made from pairs.
    """

    case: str
    unit: str
    better: Better
    ours: Series | Missing
    peers: tuple[Series | Missing, ...] = ()
    derived: tuple[Series, ...] = ()
    aim: str = ""


def spread(values: Sequence[float]) -> Spread:
    """Return the median with the least and the most; the values must not be empty."""
    return Spread(median=median(values), least=min(values), most=max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratios(ours: Sequence[float], peer: Sequence[float], better: Better) -> tuple[float, ...]:
    """Return for each round how many times as good we are; above one means ahead of the peer.

    Only rounds that both were measured in count. A zero where we divide drops its pair.
    """
    pairs = zip(ours, peer, strict=False)
    if better is Better.LESS:
        return tuple(theirs / mine for mine, theirs in pairs if mine)
    return tuple(mine / theirs for mine, theirs in pairs if theirs)


def shares(ours: Sequence[float], bare: Sequence[float]) -> tuple[float, ...]:
    """Return for each round which share of the time is ours: one minus our rate over the bare rate."""
    return tuple(1 - mine / theirs for mine, theirs in zip(ours, bare, strict=False) if theirs)
