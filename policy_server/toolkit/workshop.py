"""Where instances of the toolkit work: an engine, its clock and a pool, opened on first use."""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from policy_server.model.errors import ToolkitError
from policy_server.toolkit.instance import Instance
from policy_server.toolkit.machine import MachineCode, Progress, make_engine
from policy_server.toolkit.pool import Pool
from policy_server.toolkit.ticker import Ticker

T = TypeVar("T")

CALLER_STACK = 2 << 20
"""Bytes of native stack that WebAssembly may use on a thread that is not ours; threads have at least 8 MiB."""

DEEP_STACK = 64 << 20
"""The same on threads made by `on_deep_stack`. OPA's compiler recurses once an element of a literal."""

_MARGIN = 8 << 20
_STACK_SIZE = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Open:
    ticker: Ticker
    pool: Pool


class Workshop:
    """Lends instances; nothing exists before the first is lent."""

    def __init__(self, code: MachineCode, *, stack: int, size: int, memory_limit: int, keep_below: int) -> None:
        self._code = code
        self._stack = stack
        self._size = size
        self._memory_limit = memory_limit
        self._keep_below = keep_below
        self._lock = threading.Lock()
        self._open: _Open | None = None

    def is_open(self) -> bool:
        """Return whether an instance was ever wanted."""
        return self._open is not None

    def open(self, progress: Progress | None = None) -> _Open:
        """Load the machine code, compiling it when needed; ToolkitMissing, ToolkitError."""
        with self._lock:
            if self._open is None:
                engine = make_engine(self._stack)
                module = self._code.load(engine, progress)

                def instance() -> Instance:
                    return Instance(module, engine, memory_limit=self._memory_limit)

                self._open = _Open(Ticker(engine), Pool(instance, size=self._size, keep_below=self._keep_below))
            return self._open

    def run(self, work: Callable[[Instance], T], seconds: float) -> T:
        """Do work with an instance within ``seconds``, waiting for one included; what it raises costs the instance."""
        until = time.monotonic() + seconds
        ready = self._open or self.open()
        instance = ready.pool.take(seconds)
        epochs = ready.ticker.begin(until)
        try:
            instance.allow(epochs)
            result = work(instance)
        except BaseException:
            ready.pool.drop(instance)
            raise
        finally:
            ready.ticker.end()
        ready.pool.give(instance)
        return result

    def close(self) -> None:
        """Give memory back; the next use opens again."""
        with self._lock:
            ready, self._open = self._open, None
        if ready is not None:
            ready.pool.close()


def on_deep_stack(work: Callable[[], T]) -> T:
    """Run work on a thread of its own that has room for deep recursion; the caller's context comes along."""
    results: list[T] = []
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def body() -> None:
        try:
            results.append(context.run(work))
        except BaseException as error:  # noqa: BLE001 it is raised again where the work was asked for
            raised.append(error)

    thread = threading.Thread(target=body, name="toolkit-job", daemon=True)
    # The size is a setting of the process: other threads that start right now get it too, which is only address space.
    with _STACK_SIZE:
        usual = threading.stack_size(DEEP_STACK + _MARGIN)
        try:
            thread.start()
        except RuntimeError as error:
            raise ToolkitError("OPA's toolkit cannot start a thread; this machine has no room for one.") from error
        finally:
            threading.stack_size(usual)
    thread.join()
    if raised:
        raise raised[0]
    return results[0]
