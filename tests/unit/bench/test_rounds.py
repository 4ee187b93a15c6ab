"""Measuring in turns."""

from collections.abc import Mapping

from benchmarks.rounds import Measure, Unmeasured, interleave
from benchmarks.stats import Missing, Series


def _noting(name: str, order: list[str]) -> Measure:
    def measure() -> Mapping[str, float]:
        order.append(name)
        return {"median": float(len(order))}

    return measure


def test_contenders_take_turns_forwards_and_backwards() -> None:
    """Whatever slows the machine down meets all of them alike."""
    order: list[str] = []

    interleave(3, {"a": _noting("a", order), "b": _noting("b", order)})

    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_contender_that_fails_is_named_with_its_reason_and_the_others_go_on() -> None:
    """A missing peer never ends the run."""

    def broken() -> Mapping[str, float]:
        raise Unmeasured("there is no opa")

    results = interleave(2, {"ours": _noting("ours", []), "opa": broken})

    assert results.series("opa", "median") == Missing("opa", "there is no opa")
    assert results.series("ours", "median") == Series("ours", (1.0, 2.0))


def test_a_contender_that_fails_halfway_has_no_figures() -> None:
    """Half a series would pair with the wrong rounds."""
    answers = iter([{"median": 1.0}])

    def fading() -> Mapping[str, float]:
        try:
            return next(answers)
        except StopIteration:
            raise Unmeasured("it ended") from None

    results = interleave(2, {"peer": fading})

    assert results.series("peer", "median") == Missing("peer", "it ended")


def test_a_figure_nobody_gave_is_missing() -> None:
    """Not every peer knows its p99."""
    results = interleave(1, {"peer": _noting("peer", [])})

    assert results.series("peer", "p99") == Missing("peer", "no figure named p99")
