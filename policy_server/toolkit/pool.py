"""A few instances of the toolkit, each lent to one thread at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from policy_server.model.errors import ToolkitError
from policy_server.toolkit.instance import Instance


class Pool:
    """Makes instances when they are needed, up to ``size``, and drops those that broke or grew."""

    def __init__(self, make: Callable[[], Instance], *, size: int, keep_below: int) -> None:
        self._make = make
        self._keep_below = keep_below
        self._free: list[Instance] = []
        self._places = threading.Semaphore(size)
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, wait: float) -> Iterator[Instance]:
        """Lend an instance; ToolkitError when none becomes free in ``wait`` seconds."""
        if not self._places.acquire(timeout=wait):
            raise ToolkitError("OPA's toolkit is busy; try again later.")
        try:
            with self._lock:
                instance = self._free.pop() if self._free else None
            if instance is None:
                instance = self._make()
            try:
                yield instance
            except BaseException:
                instance.close()
                raise
            self._give(instance)
        finally:
            self._places.release()

    def _give(self, instance: Instance) -> None:
        # WebAssembly memory never shrinks: one large compilation must not be paid for ever.
        if instance.memory.size > self._keep_below:
            instance.close()
            return
        with self._lock:
            self._free.append(instance)

    def close(self) -> None:
        """Drop the free instances; a lent one goes when it comes back broken or with the process."""
        with self._lock:
            free, self._free = self._free, []
        for instance in free:
            instance.close()
