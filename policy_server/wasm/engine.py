"""The one wasmtime engine of this process, and the thread that moves its clock."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Final, Protocol

import wasmtime

from policy_server.wasm import unchecked
from policy_server.wasm.machine import CheckedMachine, Machine

TICK: Final = 0.01
"""Length of one epoch in seconds; a deadline is noticed up to two of them late, and never early."""

LINGER: Final = 10.0
"""How long the ticking goes on after the last evaluation, in seconds."""

SETTINGS: Final[dict[str, bool | int]] = {
    "epoch_interruption": True,
    # Arrays may nest 4,650 deep in 1 MiB. NOTE: above 2 MiB wasmtime aborts the
    # process (max_wasm_stack must not exceed async_stack_size).
    "max_wasm_stack": 1 << 20,
    # Threads of the compiler do not survive a fork: a child that compiles would
    # wait for them for ever. One small module is not slower without them.
    "parallel_compilation": False,
    # The address of a memory then never changes when it grows.
    "memory_may_move": False,
    # Mach ports belong to one process; signals survive a fork.
    "macos_use_mach_ports": False,
    # OPA uses none of these, so nobody else may.
    "wasm_threads": False,
    "wasm_multi_memory": False,
    "wasm_memory64": False,
}

log = logging.getLogger(__name__)


class Epochs:
    """Counts epochs against the time: number ``n`` never begins before ``n`` times TICK."""

    def __init__(self, tick: Callable[[], None], now: float) -> None:
        """Take what begins an epoch, and the monotonic time at which number 0 began."""
        self._tick = tick
        self._began = now
        self._count = 0

    def resume(self, now: float) -> None:
        """Go on from here after a rest, whose time nobody waited for."""
        self._began = now - self._count * TICK

    def advance(self, now: float) -> None:
        """Begin every epoch that is due by now, so that a late thread makes no deadline later."""
        due = int((now - self._began) / TICK)
        while self._count < due:
            self._tick()
            # NOTE: counted afterwards. Who asks in between gets one epoch more, never one less.
            self._count += 1

    def until(self, moment: float) -> int:
        """Return in how many epochs this monotonic time is over; what is over already ends with the next."""
        return max(1, -int((self._began - moment) // TICK) - self._count)


class Ticker:
    """Advances the epoch while evaluations run.

    Its thread starts with the first evaluation, ends by itself ``linger``
    seconds after the last deadline, and starts anew in a forked child.
    """

    def __init__(self, tick: Callable[[], None], *, linger: float = LINGER) -> None:
        """Take what to do at each tick; ``linger`` is in seconds."""
        self._epochs = Epochs(tick, time.monotonic())
        self._linger = linger
        self.until = 0.0
        self.epochs = self._epochs.until
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def cover(self, until: float) -> None:
        """Keep ticking at least until this monotonic time.

        PERF: callers compare with ``until`` themselves first, which spares all
        but one evaluation in ten seconds this call.
        """
        with self._lock:
            self.until = max(self.until, until + self._linger)
            if self._thread is None:
                self._epochs.resume(time.monotonic())
                self._thread = threading.Thread(target=self._run, name="policy-epoch", daemon=True)
                self._thread.start()

    def forget(self) -> None:
        """Start over in a forked child, where the thread does not exist."""
        self._lock = threading.Lock()
        self._thread = None
        self.until = 0.0

    def _run(self) -> None:
        while True:
            time.sleep(TICK)
            self._epochs.advance(time.monotonic())
            if time.monotonic() > self.until:
                # The lock decides between ending here and a caller who extends:
                # after this block `until` is past, so the next caller starts a thread.
                with self._lock:
                    if time.monotonic() > self.until:
                        self._thread = None
                        return


class Forked(Protocol):
    """Something that has to know when it finds itself in a forked child."""

    def forget(self) -> None:
        """Start over without the threads that were left behind."""


class Runtime:
    """Engine, ticker and the way modules are called, made for each other."""

    def __init__(self, *, checked: bool = False) -> None:
        """Make an engine; ``checked`` forces the slow public way of calling."""
        config = wasmtime.Config()
        for name, value in SETTINGS.items():
            setattr(config, name, value)
        self.engine = wasmtime.Engine(config)
        self.ticker = Ticker(self.engine.increment_epoch)
        self.checked = checked or not _works(self.engine)
        self._forking: weakref.WeakSet[Forked] = weakref.WeakSet()

    def on_fork(self, each: "Forked") -> None:
        """Remember, weakly, who has to be told in a forked child."""
        self._forking.add(each)

    def forget(self) -> None:
        """Start over in a forked child: the memory is there, the other threads are not."""
        self.ticker.forget()
        for each in self._forking:
            each.forget()

    def machine(
        self,
        module: wasmtime.Module,
        pages: tuple[int, int],
        host: Callable[[int, tuple[int, ...]], int],
        *,
        deadline: float,
    ) -> Machine:
        """Start an instance of a module; Stopped when its start function fails."""
        kind = CheckedMachine if self.checked else unchecked.UncheckedMachine
        until = time.monotonic() + deadline
        self.ticker.cover(until)
        return kind(self.engine, module, pages, host, ticks=self.ticker.epochs(until))


def runtime() -> Runtime:
    """Return the runtime of this process, made at its first use."""
    if _process.current is None:
        with _process.lock:
            if _process.current is None:
                made = Runtime()
                # NOTE: a forked child may go on with the engine and its modules
                # (they are plain memory); only the thread is gone.
                os.register_at_fork(after_in_child=partial(_forked, made))
                _process.current = made
    return _process.current


class _Process:
    """What this process has made so far."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.current: Runtime | None = None


_process = _Process()


def _forked(made: Runtime) -> None:
    _process.lock = threading.Lock()
    made.forget()


def _works(engine: wasmtime.Engine) -> bool:
    problem = unchecked.self_test(engine)
    if problem:
        log.warning(
            "wasmtime %s does not allow the fast way of calling modules (%s); evaluations take twenty times longer",
            version("wasmtime"),
            problem,
        )
    return not problem
