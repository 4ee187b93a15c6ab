"""Waiting no longer than there is time."""

import threading

import pytest

from policy_server.neighbours.patience import MOST, within


def test_an_answer_comes_back() -> None:
    """Whatever it is."""
    assert within(10, lambda: None) is None
    assert within(10, lambda: 3) == 3


def test_an_error_comes_back() -> None:
    """The same one."""

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        within(10, fail)


def test_what_hangs_is_not_waited_for_and_costs_a_place_until_it_ends() -> None:
    """A store that is down takes so many threads and no more."""
    go = threading.Event()
    for _ in range(MOST):
        with pytest.raises(TimeoutError):
            within(0.001, lambda: go.wait(60))
    before = threading.active_count()

    with pytest.raises(TimeoutError):
        within(0.05, lambda: 1)

    assert threading.active_count() == before
    go.set()
    assert within(60, lambda: 1) == 1
