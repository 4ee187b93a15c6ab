"""The decision log of one process: what requests leave here is masked, and brought to every sink."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from policy_server.decisions.buffer import Buffer
from policy_server.decisions.lane import Counts, Lane
from policy_server.decisions.record import Recorder
from policy_server.decisions.taking import Request, Slip
from policy_server.model.logged import LoggedDecision
from policy_server.model.status import State, Status
from policy_server.ports import Clock

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds at a stop for what still waits."""

_PORTION: Final = 50
"""How many decisions are worked on before others may have the processor."""

_MINUTE: Final = 60.0


class DecisionLog:
    """Takes decisions from requests at the price of putting an object into a queue.

    PERF: nobody is woken by that; the thread looks itself, some times a second.
    """

    def __init__(
        self,
        recorder: Recorder,
        lanes: Sequence[Lane],
        counts: Counts,
        clock: Clock,
        *,
        limit: int,
        most: int,
        poll: float = 0.1,
        patience: float = PATIENCE,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who makes records and who brings them away.

        ``limit`` decisions may wait; of each decision at most ``most`` bytes of input and result are kept. ``poll``
        and ``patience`` are in seconds.
        """
        self._recorder = recorder
        self._lanes = tuple(lanes)
        self._counts = counts
        self._clock = clock
        self._waiting: Buffer[Slip] = Buffer(limit)
        self._most = most
        self._poll = poll
        self._patience = patience
        self._timer = timer
        self._lost = 0
        self._told = float("-inf")
        self._lossy: Status | None = None
        self._since = clock()

    def take(self, slips: Sequence[Slip], request: Request) -> None:
        """Have the decisions of one request recorded; never waits, never raises."""
        for slip in slips:
            slip.shrink(self._most)
            slip.request = request
            self._waiting.put(slip)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, then write what is left, within the patience."""
        for lane in self._lanes:
            lane.start()
        while not stop.wait(self._poll):
            self.work()
        until = time.monotonic() + self._patience
        self.work()
        for lane in self._lanes:
            lane.end(until)
        left = sum([lane.join() for lane in self._lanes])
        if left:
            log.warning(
                "%d records of decisions were not written before the stop", left, extra={"action": "decisions.lost"}
            )

    def work(self) -> None:
        """Make records of all that waits and hand them to the lanes."""
        while portion := self._waiting.take(_PORTION):
            records = [record for slip in portion if (record := self._record(slip)) is not None]
            for lane in self._lanes:
                lane.put(records)
        self._account()

    def _record(self, slip: Slip) -> LoggedDecision | None:
        try:
            return self._recorder.record(slip)
        except Exception as error:  # noqa: BLE001 - the next decision has to be recorded all the same
            # SECURITY: without its traceback, which may quote what was decided.
            log.warning("a decision cannot be recorded: %s", type(error).__name__, extra={"action": "decisions.lost"})
            self._counts.dropped("unrecordable")
            return None

    def status(self) -> Status:
        """Return how the sinks are doing; the first that fails is named."""
        found = [lane.status() for lane in self._lanes]
        failing = next((each for each in found if each.state is State.DEGRADED), self._lossy)
        return failing or Status(State.READY, f"written to {', '.join(lane.kind for lane in self._lanes)}", self._since)

    def _account(self) -> None:
        """Count what was lost, and say so once a minute."""
        lost = self._waiting.lost()
        if lost:
            self._counts.dropped("queue_full", lost)
        self._lost += lost + sum([lane.lost() for lane in self._lanes])
        if self._timer() - self._told < _MINUTE:
            return
        if not self._lost:
            self._lossy = None
            return
        message = f"{self._lost} decisions were not recorded: too many at once, or a sink is too slow"
        log.warning("%s", message, extra={"action": "decisions.dropped", "count": self._lost})
        self._lossy = Status(State.DEGRADED, message, self._clock())
        self._lost, self._told = 0, self._timer()
