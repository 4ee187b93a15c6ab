"""Medians, percentiles and ratios."""

import pytest
from benchmarks.stats import Better, percentile, ratios, shares, spread


def test_spread_is_the_median_between_the_extremes() -> None:
    """One slow round does not move the median, and still shows."""
    found = spread([10.0, 12.0, 11.0, 90.0, 10.5])

    assert (found.median, found.least, found.most) == (11.0, 10.0, 90.0)


def test_ratios_are_made_from_the_pairs_of_each_round() -> None:
    """A round in which the whole machine was slow keeps its ratio."""
    assert ratios([10.0, 100.0], [20.0, 200.0], Better.LESS) == (2.0, 2.0)


def test_more_is_better_turns_the_ratio_around() -> None:
    """Above one always means that we are ahead."""
    assert ratios([300.0], [100.0], Better.MORE) == (3.0,)
    assert ratios([50.0], [100.0], Better.LESS) == (2.0,)


def test_a_zero_to_divide_by_drops_its_pair() -> None:
    """No failed requests on one side make no ratio, rather than an error."""
    assert ratios([0.0, 2.0], [5.0, 4.0], Better.LESS) == (2.0,)


def test_rounds_without_a_partner_do_not_count() -> None:
    """A peer that gave up early is compared in the rounds it was there."""
    assert ratios([1.0, 2.0, 3.0], [2.0], Better.LESS) == (2.0,)


def test_our_share_is_what_the_bare_server_does_not_lose() -> None:
    """Three quarters of the bare rate means a quarter of the time is ours."""
    assert shares([75.0], [100.0]) == (0.25,)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles_are_values_that_were_measured(share: float, expected: int) -> None:
    """Nothing is interpolated."""
    assert percentile(list(range(100, 0, -1)), share) == expected
