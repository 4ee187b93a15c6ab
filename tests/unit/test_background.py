"""Work beside the requests is done by one process at a time."""

import threading
from datetime import UTC, datetime, timedelta

from policy_server.background import Background, Job
from policy_server.model.errors import StoreUnavailable
from policy_server.model.status import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Leases:
    """A lease in memory, whose store can be switched off."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.away = False

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Give the lease to the first who asks."""
        assert until - at > timedelta(seconds=1)
        if self.away:
            raise StoreUnavailable
        self.holder = self.holder or holder
        return self.holder == holder

    def release(self, name: str, holder: str) -> None:
        """Take it back from its holder."""
        if self.holder == holder:
            self.holder = None


def supervise(background: Background) -> tuple[threading.Event, threading.Thread]:
    """Run a supervisor on its own thread."""
    stop = threading.Event()
    thread = threading.Thread(target=background.supervise, args=(stop,))
    thread.start()
    return stop, thread


def test_the_holder_of_the_lease_runs_the_jobs_and_gives_it_back() -> None:
    """A job runs until the supervisor stops, and the lease is free afterwards."""
    leases = Leases()
    started, ended = threading.Event(), threading.Event()

    def run(halt: threading.Event) -> None:
        started.set()
        halt.wait(10)
        ended.set()

    background = Background([Job("probe", run)], leases, lambda: NOW, holder="a")
    stop, thread = supervise(background)

    assert started.wait(10)
    assert leases.holder == "a"
    stop.set()
    thread.join(10)
    assert ended.is_set()
    assert leases.holder is None


def test_another_process_waits() -> None:
    """Whoever does not hold the lease runs nothing and says so."""
    leases = Leases()
    leases.holder = "somebody else"
    ran = threading.Event()
    background = Background([Job("probe", lambda _halt: ran.set())], leases, lambda: NOW, holder="a")

    assert background.renew() is False

    assert not ran.is_set()
    assert background.status().message == "another process acts"
    assert leases.holder == "somebody else"


def test_a_store_that_is_away_stops_nothing_but_the_jobs() -> None:
    """Without a store nobody may act; the status says degraded."""
    leases = Leases()
    leases.away = True
    ran = threading.Event()
    background = Background([Job("probe", lambda _halt: ran.set())], leases, lambda: NOW, holder="a")

    assert background.renew() is False

    assert background.status().state is State.DEGRADED
    assert not ran.is_set()


def test_a_job_that_died_is_started_again() -> None:
    """A job that ends early runs again at the next renewal."""
    leases = Leases()
    runs: list[int] = []
    background = Background([Job("probe", lambda _halt: runs.append(1))], leases, lambda: NOW, holder="a")

    background.renew()
    background.join()
    background.renew()
    background.join()

    assert len(runs) == 2
