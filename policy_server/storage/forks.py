"""Close database files before this process forks.

SQLite's locks belong to a process, and its library remembers in memory which
ones it holds. A child made by ``fork`` inherits that memory but not the locks:
it would believe to hold locks that nobody holds, even on connections that it
opens itself, and could damage the file. The only safe state to fork in is the
one without an open connection, so connections are closed before and reopened,
by whoever needs one, after.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Gate:
    """Lets many threads in at once, or one caller alone.

    Not reentrant: a thread that is inside must not enter again.
    """

    def __init__(self) -> None:
        """Start open and empty."""
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._inside = 0
        self._shut = False

    # PERF: entered before every evaluation (under 1 µs), so it takes the lock itself, not the slower condition.
    def __enter__(self) -> None:
        """Go in; wait while the gate is shut."""
        with self._lock:
            while self._shut:
                self._moved.wait()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        """Go out."""
        with self._lock:
            self._inside -= 1
            if self._shut:
                self._moved.notify_all()

    def shut(self, *, patience: float) -> bool:
        """Keep newcomers out; True when everybody left within ``patience`` seconds."""
        with self._lock:
            while self._shut:
                self._moved.wait()
            self._shut = True
            return self._moved.wait_for(lambda: self._inside == 0, patience)

    def open(self) -> None:
        """Let everybody in again."""
        with self._lock:
            self._shut = False
            self._moved.notify_all()


class Forkable(Protocol):
    """Something that must not be open while its process forks."""

    def before_fork(self) -> None:
        """Close and stay closed."""

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child nothing of the parent may be touched."""


class Forks:
    """Tells what was opened that the process is about to fork."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._lock = threading.Lock()
        self._open: WeakSet[Forkable] = WeakSet()
        self._told: list[Forkable] = []
        self._registered = False

    def watch(self, opened: Forkable) -> None:
        """Tell this one about every fork from now on."""
        with self._lock:
            self._open.add(opened)
            if not self._registered:
                os.register_at_fork(
                    before=self._before,
                    after_in_parent=lambda: self._after(child=False),
                    after_in_child=lambda: self._after(child=True),
                )
                self._registered = True

    def _before(self) -> None:
        self._lock.acquire()
        self._told = list(self._open)
        for opened in self._told:
            opened.before_fork()

    def _after(self, *, child: bool) -> None:
        for opened in self._told:
            opened.after_fork(child=child)
        self._told = []
        self._lock.release()


FORKS = Forks()
"""The one of this process: forks concern all of it."""
