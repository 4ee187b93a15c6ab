"""Makes writers of one policy take turns, in this process and in all others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from policy_server.model.errors import StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.ports import Clock, LeaseStore
from policy_server.publishing.leases import Lease

_PAUSE: Final = 0.02
_PATIENCE: Final = 1500  # pauses: longer than a lease, so that a crashed writer does not fail the next one


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
    def swap(self, policy: PolicyId) -> Iterator[Callable[[], None]]:
        """Keep everybody away, for the moment between reading and writing a revision.

        StoreUnavailable when another process does not finish. What is given is to be called right
        before writing: StoreUnavailable when this process slept for so long that another may have written.
        """
        lease = Lease(self._leases, f"publish:{policy}", self._clock)
        with self.alone(policy):
            self._acquire(lease, policy)
            try:
                yield partial(_confirm, lease, policy)
            finally:
                lease.release()

    def _acquire(self, lease: Lease, policy: PolicyId) -> None:
        for _ in range(_PATIENCE):
            if lease.acquire():
                return
            self._wait(_PAUSE)
        raise StoreUnavailable(f"Another process has been writing {policy} for too long.")


def _confirm(lease: Lease, policy: PolicyId) -> None:
    if lease.lost:
        raise StoreUnavailable(f"Another process may have written {policy} meanwhile; try again.")
