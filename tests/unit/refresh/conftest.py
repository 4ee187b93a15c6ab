"""A clock that can be moved, a data source on loopback, and a refresher between them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer

from policy_server.compiler.compiler import RegoCompiler
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.publishing.publisher import SourcePublisher
from policy_server.refresh.refresher import Refresher
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.toolkit import Toolkit


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> datetime:
        """Move on; returns the new time."""
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def time() -> Time:
    """Give a clock."""
    return Time()


@pytest.fixture
def store() -> MemoryStore:
    """Give an empty store."""
    return MemoryStore()


@pytest.fixture
def publisher(store: MemoryStore, toolkit: Toolkit, time: Time) -> SourcePublisher:
    """Give a publisher that compiles for real."""
    return SourcePublisher(store, RegoCompiler(toolkit, []), time, lambda: None)


@pytest.fixture(scope="session")
def _server() -> Iterator[HTTPServer]:
    """Start one server for all tests; stopping one takes half a second."""
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture
def source(_server: HTTPServer) -> HTTPServer:
    """Give a data source on loopback that knows nothing yet."""
    _server.clear()
    return _server


@pytest.fixture
def client() -> GuardedClient:
    """Give a client that may ask loopback."""
    return GuardedClient(NetworkGuard(["127.0.0.1/32"]), read_timeout=5, max_bytes=1000)


@pytest.fixture
def refresher(store: MemoryStore, publisher: SourcePublisher, client: GuardedClient, time: Time) -> Refresher:
    """Give a refresher whose dice always show nothing."""
    return Refresher(store, publisher, client, time, retry=5.0, chance=lambda: 0.0)
