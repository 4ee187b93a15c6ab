"""Results are kept beside the answers, never in their way."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer

from policy_server.engine.results import LONGEST, Results, ServiceCache, StoreCache
from policy_server.model.cache import CacheKey
from policy_server.model.errors import FetchError, StoreUnavailable, TargetRefused, ValueNotFound
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Shelf:
    """Keeps in a list, or fails."""

    def __init__(self, error: Exception | None = None, *, always: bool = True) -> None:
        self.kept: list[tuple[str, bytes, int | None]] = []
        self.error = error
        self.always = always

    def keep(self, key: str, result: bytes, ttl: int | None) -> None:
        """Keep one."""
        if self.error is not None:
            raise self.error
        self.kept.append((key, result, ttl))


def drain(results: Results) -> None:
    """Keep everything that waits."""
    while results.work():
        pass


def test_what_is_offered_is_kept_in_order() -> None:
    """By whoever works, not by whoever offers."""
    shelf = Shelf()
    results = Results(shelf)
    results.offer("a", b"1", None)
    results.offer("b", b"2", 60)
    assert shelf.kept == []

    drain(results)

    assert shelf.kept == [("a", b"1", None), ("b", b"2", 60)]


@pytest.mark.parametrize("ttl", [None, 0, -1])
def test_a_cache_of_limited_time_takes_nothing_for_ever(ttl: int | None) -> None:
    """Without a time to live nothing even waits."""
    shelf = Shelf(always=False)
    results = Results(shelf)
    results.offer("a", b"1", ttl)

    assert not results.work()


@pytest.mark.parametrize("limits", [{"most": 2}, {"most_bytes": 2}])
def test_what_does_not_fit_is_dropped_and_counted(limits: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, however many are dropped; room comes back."""
    shelf = Shelf()
    results = Results(shelf, **limits)
    with caplog.at_level(logging.WARNING):
        for key in "abcde":
            results.offer(key, b"1", 1)
    drain(results)
    results.offer("f", b"12", 1)
    drain(results)

    assert [key for key, _, _ in shelf.kept] == ["a", "b", "f"]
    assert (results.dropped, len(caplog.records)) == (3, 1)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), FetchError("no"), TargetRefused("no"), ValueError()])
def test_a_cache_that_fails_harms_nobody(error: Exception) -> None:
    """It is counted, and the next one is tried."""
    shelf = Shelf(error)
    results = Results(shelf)
    results.offer("a", b"1", 1)
    results.offer("b", b"1", 1)

    drain(results)

    assert results.dropped == 2


def test_it_works_until_told_to_stop() -> None:
    """On a thread of its own."""
    shelf, results, stop = Shelf(), None, threading.Event()
    results = Results(shelf)
    kept = threading.Event()
    shelf.keep = lambda *_args: kept.set()  # type: ignore[method-assign] # tells that it was called
    thread = threading.Thread(target=results.run, args=(stop,))
    thread.start()
    results.offer("a", b"1", 1)

    assert kept.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_the_built_in_cache_keeps_until_the_time_is_up() -> None:
    """Under the id of the evaluation; absurd times are cut."""
    store = MemoryStore()
    cache = StoreCache(store.cache, lambda: AT)
    cache.keep("e1", b'{"n":12345678901234567890}', 60)
    cache.keep("e2", b"1", 10**17)
    cache.keep("e3", b"1", None)

    key = CacheKey("e1")
    assert store.cache.get(key, at=AT + timedelta(seconds=59)) == {"n": 12345678901234567890}
    with pytest.raises(ValueNotFound):
        store.cache.get(key, at=AT + timedelta(seconds=60))
    assert store.cache.get(CacheKey("e2"), at=AT + timedelta(seconds=LONGEST - 1)) == 1
    with pytest.raises(ValueNotFound):
        store.cache.get(CacheKey("e3"), at=AT)


@pytest.mark.parametrize(("ttl", "sent"), [(None, None), (0, None), (60, "60"), (-1, "-1")])
def test_the_cache_service_is_sent_what_the_policy_service_sends(
    httpserver: HTTPServer, ttl: int | None, sent: str | None
) -> None:
    """POST /v1/cache with key, empty namespace and scope, and the time to live where there is one."""
    httpserver.expect_request("/v1/cache", method="POST").respond_with_data("", status=201)
    client = GuardedClient(NetworkGuard(["127.0.0.1"]))

    ServiceCache(client, httpserver.url_for("").rstrip("/")).keep("e1", b'{"a":1}', ttl)

    (request, _) = httpserver.log[0]
    assert request.data == b'{"a":1}'
    assert {name: request.headers.get(f"x-cache-{name}") for name in ("key", "namespace", "scope", "ttl")} == {
        "key": "e1",
        "namespace": "",
        "scope": "",
        "ttl": sent,
    }


def test_a_service_that_refuses_or_must_not_be_asked_is_an_error(httpserver: HTTPServer) -> None:
    """Which only costs that one result."""
    httpserver.expect_request("/v1/cache").respond_with_data("", status=500)
    url = httpserver.url_for("").rstrip("/")

    with pytest.raises(FetchError, match="500"):
        ServiceCache(GuardedClient(NetworkGuard(["127.0.0.1"])), url).keep("e1", b"1", 1)
    with pytest.raises(TargetRefused):
        ServiceCache(GuardedClient(NetworkGuard([])), url).keep("e1", b"1", 1)
