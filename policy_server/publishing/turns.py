"""Makes threads that work on one policy take turns; processes meet in the store, which refuses who comes second."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from policy_server.model.policy import PolicyId


class Turns:
    """Locks for threads, so that a source is not compiled twice at once and the older one is not published last."""

    def __init__(self) -> None:
        """Make the locks."""
        # NOTE: a fixed number of locks; two policies that share one only wait a little more.
        self._locks = tuple(threading.RLock() for _ in range(64))

    @contextmanager
    def alone(self, policy: PolicyId) -> Iterator[None]:
        """Keep other threads of this process away, for as long as a compile takes."""
        with self._locks[hash(policy) % len(self._locks)]:
            yield
