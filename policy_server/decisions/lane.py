"""Brings records to one sink, in a thread of its own, so that no sink waits for another."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from policy_server.decisions.buffer import Buffer
from policy_server.decisions.config import SERVER, kind_of
from policy_server.decisions.sink import BATCH, Sink, Unwritten
from policy_server.model.errors import PolicyServerError
from policy_server.model.logged import LoggedDecision
from policy_server.model.status import State, Status
from policy_server.ports import Clock

log = logging.getLogger(__name__)

FIRST: Final = 0.5
LONGEST: Final = 60.0
"""Seconds between attempts while a sink fails: the pause doubles from the first to the longest."""

IDLE: Final = 0.1


class Counts(Protocol):
    """Counts what became of records; ``api.metrics`` has one."""

    def dropped(self, reason: str, count: int = 1) -> None:
        """Count records that are lost."""

    def recorded(self, sink: str, result: str, count: int = 1) -> None:
        """Count records by what a sink did with them: ``written``, ``failed`` (an attempt) or ``dropped``."""

    def erased(self, reason: str) -> None:
        """Count a record that was kept without input and result."""


class Lane:
    """Holds what waits for one sink, and writes it; what fails is tried again, and the oldest goes when it is full."""

    def __init__(
        self, sink: Sink, limit: int, counts: Counts, clock: Clock, *, first: float = FIRST, idle: float = IDLE
    ) -> None:
        """Take the sink and how many records may wait for it.

        ``first`` is the first pause after a failure, ``idle`` the time in which records gather to be written
        together, in seconds.
        """
        self._sink = sink
        self._waiting: Buffer[LoggedDecision] = Buffer(limit)
        self._counts = counts
        self._clock = clock
        self._first = first
        self._idle = idle
        self._failing: Status | None = None
        self._since = clock()
        self._held: list[LoggedDecision] = []
        self._ending = threading.Event()
        self._until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"decisions {sink.name}", daemon=True)

    @property
    def kind(self) -> str:
        """What kind of sink it is."""
        return kind_of(self._sink.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, records: Sequence[LoggedDecision]) -> None:
        """Let records wait for the sink; never waits itself."""
        for record in records:
            self._waiting.put(record)

    def lost(self) -> int:
        """Return how many had no room since this was last asked, and count them."""
        lost = self._waiting.lost()
        if lost:
            self._counts.recorded(self.kind, "dropped", lost)
            self._counts.dropped("sink_full", lost)
        return lost

    def status(self) -> Status:
        """Return how the sink is doing."""
        return self._failing or Status(State.READY, self.kind, self._since)

    def end(self, until: float) -> None:
        """Have the thread write what waits and end, at the latest at this time of the monotonic clock."""
        self._until = until
        self._ending.set()

    def join(self) -> int:
        """Wait for the end, but no longer than was said; return how many records are lost with it."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        left = len(self._waiting) + len(self._held)
        if left:
            self._counts.recorded(self.kind, "dropped", left)
            self._counts.dropped("stopped", left)
        return left

    def _run(self) -> None:
        pause = self._first
        while not self._is_over():
            if not self._held:
                if len(self._waiting) < BATCH:
                    self._ending.wait(self._idle)
                self._held = self._waiting.take(BATCH)
            if not self._held:
                continue
            if self._write():
                pause = self._first
            elif self._ending.is_set():
                break  # that was the last attempt
            else:
                self._ending.wait(pause)
                pause = min(2 * pause, LONGEST)
        self._sink.close()

    def _is_over(self) -> bool:
        if not self._ending.is_set():
            return False
        return time.monotonic() >= self._until or not (self._held or len(self._waiting))

    def _write(self) -> bool:
        """Write what is held; False when it is to be tried again."""
        try:
            self._sink.write(self._held)
        except (Unwritten, PolicyServerError) as error:
            self._fail(error.message)
            if not (isinstance(error, Unwritten) and error.final):
                return False
            self._counts.recorded(self.kind, "dropped", len(self._held))
            self._counts.dropped("refused", len(self._held))
        except Exception as error:  # noqa: BLE001 - SECURITY: its text may hold what was decided
            self._fail(type(error).__name__)
            return False
        else:
            self._counts.recorded(self.kind, "written", len(self._held))
            if self._failing is not None:
                log.info("decisions are written to %s again", self._sink.name, extra={"action": "decisions.back"})
                self._failing, self._since = None, self._clock()
        self._held = []
        return True

    def _fail(self, message: str) -> None:
        self._counts.recorded(self.kind, "failed", len(self._held))
        since: datetime = self._clock() if self._failing is None else self._failing.since
        if self._failing is None:
            log.warning(
                "decisions are not written to %s: %s", self._sink.name, message, extra={"action": "decisions.failed"}
            )
        told = "does not take records; the log says why" if self.kind == SERVER else message
        self._failing = Status(State.DEGRADED, f"{self.kind}: {told}", since)
