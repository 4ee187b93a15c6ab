"""Work that goes on beside the requests, done by one process at a time."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from policy_server.model.errors import StoreUnavailable
from policy_server.model.status import State, Status
from policy_server.ports import Clock, LeaseStore

ACTING = "acting"
"""The status message of the process that holds the lease."""

LEASE = "background"
TERM = timedelta(seconds=6)
RENEW = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A named loop that runs until its event is set."""

    name: str
    run: Callable[[threading.Event], None]


class Background:
    """Runs jobs in whichever process holds the lease.

    Every worker has one; the lease in the store decides who acts. When the
    holder dies its lease runs out after six seconds and another one takes over.
    A job that raises is logged and started again at the next renewal.
    """

    def __init__(self, jobs: Sequence[Job], leases: LeaseStore, clock: Clock, *, holder: str) -> None:
        """Take the jobs and the name under which this process holds the lease."""
        self._jobs = jobs
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._running: dict[str, threading.Thread] = {}
        self._halt = threading.Event()
        self._status = Status(State.STARTING, "not asked for the lease yet", clock())

    def status(self) -> Status:
        """Return whether this process acts, waits, or cannot tell."""
        return self._status

    def supervise(self, stop: threading.Event) -> None:
        """Hold or wait for the lease until told to stop, then give it back."""
        while not stop.is_set():
            self.renew()
            stop.wait(RENEW)
        self._stop_jobs()
        self._release()

    def renew(self) -> bool:
        """Take or renew the lease once; start the jobs when it is held, stop them when not."""
        held = self._hold()
        if held:
            self._start_jobs()
        elif self._running:
            self._stop_jobs()
        return held

    def join(self) -> None:
        """Wait for jobs that end by themselves."""
        for thread in self._running.values():
            thread.join()

    def _hold(self) -> bool:
        now = self._clock()
        try:
            held = self._leases.acquire(LEASE, self._holder, until=now + TERM, at=now)
        except StoreUnavailable as error:
            self._become(State.DEGRADED, error.message)
            return False
        self._become(State.READY, ACTING if held else "another process acts")
        return held

    def _release(self) -> None:
        try:
            self._leases.release(LEASE, self._holder)
        except StoreUnavailable as error:
            log.warning("the background lease is left to run out: %s", error.message)

    def _start_jobs(self) -> None:
        for job in self._jobs:
            thread = self._running.get(job.name)
            if thread is None or not thread.is_alive():
                self._running[job.name] = threading.Thread(
                    target=job.run, args=(self._halt,), name=f"background-{job.name}", daemon=True
                )
                self._running[job.name].start()

    def _stop_jobs(self) -> None:
        self._halt.set()
        for thread in self._running.values():
            thread.join(timeout=5)
        self._running.clear()
        self._halt = threading.Event()

    def _become(self, state: State, message: str) -> None:
        if (self._status.state, self._status.message) != (state, message):
            self._status = Status(state, message, self._clock())
            log.info("background work: %s", message)
