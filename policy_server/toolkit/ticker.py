"""Time for deadlines: advances an engine's epoch while somebody computes."""

import threading
import time

import wasmtime

TICK = 0.02
"""Seconds an epoch lasts; a deadline is late by at most two of them."""

_IDLE_TICKS = 100


def ticks(seconds: float) -> int:
    """Return how many epochs a time-out is."""
    return max(1, int(seconds / TICK)) + 1


class Ticker:
    """One daemon thread an engine; it rests when nothing has run for two seconds."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._active = 0
        self._idle = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Count one more computation; start ticking when it is the first."""
        with self._lock:
            self._active += 1
            self._idle = 0
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._run, name="toolkit-ticker", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Count one computation less."""
        with self._lock:
            self._active -= 1

    def _run(self) -> None:
        # PERF: starting a thread for each 20 µs call would cost more than the call, hence the rest period.
        began = time.monotonic()
        done = 0
        while True:
            time.sleep(TICK)
            # Counted from the beginning, so that waking up late does not make deadlines longer.
            due = int((time.monotonic() - began) / TICK)
            for _ in range(done, due):
                self._engine.increment_epoch()
            done = due
            with self._lock:
                self._idle = 0 if self._active else self._idle + 1
                if self._idle > _IDLE_TICKS:
                    self._thread = None
                    return
