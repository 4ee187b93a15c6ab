"""Leases that are renewed while work goes on, and soon run out when its process dies."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from policy_server.model.errors import StoreUnavailable
from policy_server.publishing.leases import TERM, Lease
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(days=1)


class Watched(MemoryStore):
    """Tells when a lease is taken or renewed; the n-th time may be answered otherwise."""

    def __init__(self, answer: Callable[[int], bool | None] = lambda _number: None) -> None:
        """Take what is answered instead, if anything."""
        super().__init__()
        self.asked = threading.Semaphore(0)
        self._count = 0
        self._answer = answer

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Count."""
        self._count += 1
        try:
            found = self._answer(self._count)
            return super().acquire(name, holder, until=until, at=at) if found is None else found
        finally:
            self.asked.release()


def wait_for(store: Watched, times: int) -> None:
    """Wait until a lease was asked for so many times."""
    for _ in range(times):
        assert store.asked.acquire(timeout=10)


def test_a_lease_is_renewed_while_work_goes_on() -> None:
    """Work may take longer than a term: nobody else gets the lease meanwhile."""
    now = [AT]
    store = Watched()
    lease = Lease(store, "work", lambda: now[0], every=0.001)
    assert lease.acquire()
    wait_for(store, 1)

    now[0] = AT + TERM - timedelta(seconds=1)
    wait_for(store, 3)

    assert not store.acquire("work", "other", until=LATER, at=AT + TERM)
    lease.release()
    assert store.acquire("work", "other", until=LATER, at=AT)


def test_a_lease_that_another_one_took_is_lost() -> None:
    """Who was asleep for too long can find out."""
    store = Watched(lambda number: None if number == 1 else False)
    lease = Lease(store, "work", lambda: AT, every=0.001)
    assert lease.acquire()
    wait_for(store, 2)
    lease.release()

    assert lease.lost


def test_a_lease_survives_a_store_that_is_away_for_a_moment() -> None:
    """It is renewed at the next time."""

    def away(number: int) -> None:
        if number == 2:
            raise StoreUnavailable

    store = Watched(away)
    lease = Lease(store, "work", lambda: AT, every=0.001)
    assert lease.acquire()
    wait_for(store, 4)

    assert not lease.lost
    lease.release()


def test_what_was_written_counts_when_the_lease_cannot_be_given_back() -> None:
    """The store went away after the work: nobody is told of a failure, and the lease runs out by itself."""

    class Away(MemoryStore):
        def release(self, name: str, holder: str) -> None:
            raise StoreUnavailable

    lease = Lease(Away(), "work", lambda: AT)
    assert lease.acquire()

    lease.release()


def test_a_killed_holder_keeps_others_away_for_seconds_only() -> None:
    """However long its work would have taken."""
    store = MemoryStore()
    lease = Lease(store, "work", lambda: AT)
    assert lease.acquire()

    assert not store.acquire("work", "other", until=LATER, at=AT + timedelta(seconds=5))
    assert store.acquire("work", "other", until=LATER, at=AT + timedelta(seconds=6))
    lease.release()


@pytest.mark.parametrize("taken", [True, False])
def test_only_who_got_a_lease_renews_it(taken: bool) -> None:
    """Being refused starts nothing."""
    store = MemoryStore()
    if taken:
        store.acquire("work", "other", until=LATER, at=AT)
    before = threading.active_count()
    lease = Lease(store, "work", lambda: AT)

    assert lease.acquire() is not taken
    assert threading.active_count() - before == (0 if taken else 1)
    lease.release()


def test_a_lease_that_ran_out_is_lost_before_anybody_else_takes_it() -> None:
    """Who was asleep for a whole term cannot know what happened meanwhile."""
    now = [AT]
    lease = Lease(MemoryStore(), "work", lambda: now[0])
    assert lease.acquire()

    assert not lease.lost
    now[0] = AT + TERM
    assert lease.lost
    lease.release()
