"""Makes writers of one policy take turns, in this process and in all others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final
from uuid import uuid4

from policy_server.model.errors import StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.ports import Clock, LeaseStore

_TERM: Final = timedelta(seconds=20)
_PAUSE: Final = 0.02
_PATIENCE: Final = 1500  # pauses: longer than the term, so that a crashed writer does not fail the next one


class Turns:
    """Locks for threads, leases for processes."""

    def __init__(self, leases: LeaseStore, clock: Clock, *, wait: Callable[[float], None] = time.sleep) -> None:
        """Take the store that knows the leases; ``wait`` pauses between two tries."""
        self._leases = leases
        self._clock = clock
        self._wait = wait
        # NOTE: a fixed number of locks; two policies that share one only wait a little more.
        self._locks = tuple(threading.RLock() for _ in range(64))

    @contextmanager
    def alone(self, policy: PolicyId) -> Iterator[None]:
        """Keep other threads of this process away, for as long as a compile takes."""
        with self._locks[hash(policy) % len(self._locks)]:
            yield

    @contextmanager
    def swap(self, policy: PolicyId) -> Iterator[None]:
        """Keep everybody away, for the moment between reading and writing a revision.

        StoreUnavailable when another process does not finish.
        """
        name, holder = f"publish:{policy}", uuid4().hex
        with self.alone(policy):
            self._acquire(name, holder, policy)
            try:
                yield
            finally:
                self._leases.release(name, holder)

    def _acquire(self, name: str, holder: str, policy: PolicyId) -> None:
        for _ in range(_PATIENCE):
            at = self._clock()
            if self._leases.acquire(name, holder, until=at + _TERM, at=at):
                return
            self._wait(_PAUSE)
        raise StoreUnavailable(f"Another process has been writing {policy} for too long.")
