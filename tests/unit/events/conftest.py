"""A clock that can be moved, stores with changes in them, receivers, and a deliverer between them."""

from collections.abc import Callable, Iterator

import pytest
from event_receivers import NatsListener, NatsServer, Receiver, receiving
from events_world import World

from policy_server.storage.memory import MemoryStore


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Make HTTP receivers."""
    with receiving() as make:
        yield make


@pytest.fixture
def world() -> World:
    """A store in memory, a clock and what delivers its events."""
    return World(MemoryStore())


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A real server, started."""
    server = NatsServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def listen(nats_server: NatsServer) -> Iterator[Callable[..., NatsListener]]:
    """Subscribe to subjects of the server."""
    made: list[NatsListener] = []

    def start(subject: str = "policy_notifier") -> NatsListener:
        made.append(NatsListener(nats_server, subject))
        return made[-1]

    yield start
    for listener in made:
        listener.close()
