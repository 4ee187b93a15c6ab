"""Measuring evaluations."""

from policy_server.authoring.measuring import measure, summed


def test_it_ends_after_a_number_of_evaluations() -> None:
    """Each is timed."""
    calls: list[int] = []

    durations = measure(lambda: calls.append(1), count=7, seconds=60)

    assert len(calls) == len(durations) == 7


def test_it_ends_when_the_time_is_over() -> None:
    """No evaluation begins after that."""
    assert measure(lambda: None, count=1_000_000_000, seconds=0.0) == []


def test_times_are_summed_up() -> None:
    """Median, the slowest but one in a hundred, and how many would fit into a second."""
    found = summed([1000] * 98 + [2000, 1_000_000])

    assert (found.count, found.median_ns, found.p99_ns) == (100, 1000, 1_000_000)
    assert round(found.per_second) == round(100 / ((98_000 + 2000 + 1_000_000) / 1e9))
