"""Holds what waits, up to a number; the oldest goes when there is no room."""

import threading
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """A bounded queue that never makes anybody wait; safe for threads.

    Putting takes no lock while there is room: a deque's ends may be used by several
    threads at once. With many at the same moment it holds a few more than it should.
    """

    def __init__(self, limit: int) -> None:
        """Hold at most ``limit`` things."""
        self._items: deque[T] = deque()
        self._limit = limit
        self._counting = threading.Lock()
        self._lost = 0

    def put(self, item: T) -> None:
        """Add one; the oldest is dropped when it is full."""
        if len(self._items) >= self._limit:
            self._drop()
        self._items.append(item)

    def take(self, most: int) -> list[T]:
        """Remove and return the oldest, at most so many."""
        taken: list[T] = []
        with suppress(IndexError):
            while len(taken) < most:
                taken.append(self._items.popleft())
        return taken

    def lost(self) -> int:
        """Return how many were dropped since this was last asked."""
        with self._counting:
            lost, self._lost = self._lost, 0
        return lost

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def _drop(self) -> None:
        with suppress(IndexError):
            self._items.popleft()
            with self._counting:
                self._lost += 1
