"""Instances are lent one at a time, and dropped when they broke or grew."""

from types import SimpleNamespace

import pytest

from policy_server.model.errors import ToolkitError
from policy_server.toolkit.pool import Pool


class Fake:
    """Stands for an instance: a size, and whether it was closed."""

    def __init__(self) -> None:
        self.memory = SimpleNamespace(size=10)
        self.closed = False

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def test_instance_is_used_again() -> None:
    """One caller after the other gets the same instance."""
    pool = Pool(Fake, size=2, keep_below=100)
    first = pool.take(0)
    pool.give(first)

    assert pool.take(0) is first


def test_no_more_than_the_size() -> None:
    """When all are lent, waiting ends with an error; a returned one can be had."""
    pool = Pool(Fake, size=1, keep_below=100)
    only = pool.take(0)

    with pytest.raises(ToolkitError, match="busy"):
        pool.take(0.01)
    pool.give(only)
    assert pool.take(0) is only


def test_grown_instance_is_replaced() -> None:
    """Memory that one large source needed is given back."""
    pool = Pool(Fake, size=1, keep_below=100)
    grown = pool.take(0)
    grown.memory.size = 101

    pool.give(grown)

    assert grown.closed
    assert pool.take(0) is not grown


def test_broken_instance_is_replaced() -> None:
    """A dropped instance is closed and its place is free."""
    pool = Pool(Fake, size=1, keep_below=100)
    broken = pool.take(0)

    pool.drop(broken)

    assert broken.closed
    assert pool.take(0) is not broken


def test_failure_to_make_one_costs_no_place() -> None:
    """When an instance cannot be made, the next caller may try again."""
    made: list[Fake] = []

    def make() -> Fake:
        made.append(Fake())
        if len(made) == 1:
            raise ToolkitError("broken")
        return made[-1]

    pool = Pool(make, size=1, keep_below=100)

    with pytest.raises(ToolkitError, match="broken"):
        pool.take(0)
    assert pool.take(0) is made[1]


def test_closing_drops_what_is_free() -> None:
    """After closing, a new instance is made on demand."""
    pool = Pool(Fake, size=1, keep_below=100)
    first = pool.take(0)
    pool.give(first)

    pool.close()

    assert first.closed
    assert pool.take(0) is not first
