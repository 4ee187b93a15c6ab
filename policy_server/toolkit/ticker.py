"""Time for deadlines: advances an engine's epoch while somebody computes."""

import math
import threading
import time

import wasmtime

TICK = 0.02
"""Seconds an epoch lasts; a deadline is noticed up to two of them late, and never early."""

_IDLE_TICKS = 100


class Ticker:
    """One daemon thread an engine; it rests when nothing has run for two seconds."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._began = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()
        self._active = 0
        self._idle = 0
        self._thread: threading.Thread | None = None

    def begin(self, until: float) -> int:
        """Count one more computation; return in how many epochs this monotonic time is over."""
        with self._lock:
            self._active += 1
            self._idle = 0
            if self._thread is None or not self._thread.is_alive():
                self._began = time.monotonic() - self._done * TICK
                self._thread = threading.Thread(target=self._run, name="toolkit-ticker", daemon=True)
                self._thread.start()
        return self.epochs(until)

    def epochs(self, until: float) -> int:
        """Return in how many epochs this monotonic time is over; what is over already ends with the next."""
        return max(1, math.ceil((until - self._began) / TICK) - self._done)

    def end(self) -> None:
        """Count one computation less."""
        with self._lock:
            self._active -= 1

    def advance(self, now: float) -> None:
        """Begin every epoch that is due by now, so that a late thread makes no deadline later."""
        due = int((now - self._began) / TICK)
        while self._done < due:
            self._engine.increment_epoch()
            # NOTE: counted afterwards. Who begins in between gets one epoch more, never one less.
            self._done += 1

    def _run(self) -> None:
        # PERF: starting a thread for each 20 µs call would cost more than the call, hence the rest period.
        while True:
            time.sleep(TICK)
            self.advance(time.monotonic())
            with self._lock:
                self._idle = 0 if self._active else self._idle + 1
                if self._idle > _IDLE_TICKS:
                    self._thread = None
                    return
