"""Changes of policies, and who is told about them, with a clock that goes when it is told to."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from policy_server.events.deliverer import Deliverer
from policy_server.events.sink import Sink
from policy_server.events.standing import Standing
from policy_server.events.subscriptions import Subscriptions
from policy_server.events.webhooks import Webhooks
from policy_server.model.event import Delivery
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicyId, PolicySource
from policy_server.model.subscriber import Subscriber
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.ports import Store

POLICY = PolicyId("demo", "g", "door", "1.0")
LOOPBACK = NetworkGuard(["127.0.0.1"])
TIMEOUT = 5.0
_JOIN = 60.0


class Counts:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.results: list[tuple[str, str]] = []
        self.pending: list[int] = []

    def delivery(self, sink: str, result: str) -> None:
        """Remember one attempt."""
        self.results.append((sink, result))

    def waiting(self, deliveries: int) -> None:
        """Remember how many wait."""
        self.pending.append(deliveries)


class World:
    """A store, a clock, and deliverers made of real sinks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.counts = Counts()
        self.client = GuardedClient(LOOPBACK, connect_timeout=TIMEOUT, read_timeout=TIMEOUT, deadline=TIMEOUT)
        self.webhooks = Webhooks(store.subscribers, self.client, self.clock)
        self.subscriptions = Subscriptions(store, self.webhooks, LOOPBACK, self.clock)

    def clock(self) -> datetime:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Move the clock on."""
        self.now += timedelta(seconds=seconds)

    def publish(self, mark: str = "a") -> None:
        """Publish a revision; the same mark again changes nothing."""
        manifest = Manifest(mark, mark, "1.0", Dialect.V1, (POLICY.entrypoint,), ())
        source = PolicySource(POLICY, f"package g.door\n# {mark}\n")
        self.store.publish(
            source, CompiledPolicy(mark.encode(), manifest), data=None, digest=mark, author="ada", at=self.now
        )

    def subscribe(self, url: str, name: str = "somebody") -> Subscriber:
        """Make a subscriber of the policy."""
        return self.subscriptions.subscribe(POLICY, name=name, url=url, by="me")

    def deliverer(self, *more: Sink) -> Deliverer:
        """Make one that knows subscribers and what else is given."""
        return Deliverer(
            self.store.outbox,
            self.store.stamp,
            [self.webhooks, *more],
            self.clock,
            self.counts,
            patience=TIMEOUT + 1,
            chance=lambda: 0.5,
            share=Standing(self.store.cache, self.clock).save,
        )

    def deliver(self, deliverer: Deliverer) -> None:
        """Do what is due now, and wait for it."""
        deliverer.step()
        deliverer.join(_JOIN)

    def deliveries(self) -> Sequence[Delivery]:
        """Return all, newest first."""
        return self.store.outbox.deliveries(limit=1000).deliveries


def running(deliverer: Deliverer) -> tuple[threading.Event, threading.Thread]:
    """Run a deliverer on its own thread; set the event to stop it."""
    halt = threading.Event()
    thread = threading.Thread(target=deliverer.run, args=(halt,))
    thread.start()
    return halt, thread
