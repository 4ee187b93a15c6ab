"""What the tests of bundles work at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bundle_samples import public_jwk

from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.bundles.trust import Trust
from policy_server.model.access import TrustedKey
from policy_server.model.policy import PolicyId, PolicySource, Revision
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.publishing.publisher import SourcePublisher
from policy_server.storage.memory import MemoryStore

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOOPBACK = GuardedClient(NetworkGuard(["127.0.0.1", "localhost"]), max_bytes=1 << 20)


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at

    def forward(self, seconds: float) -> datetime:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        return self.at


@dataclass
class Desk:
    """Everything that imports and exports, and the store behind it."""

    store: MemoryStore
    publisher: SourcePublisher
    importer: Importer
    exporter: Exporter
    auto: AutoImporter
    clock: Clock
    trust: Trust

    def pin(self, kind: str = "P-256", owner: str = "peer", repositories: Sequence[str] = (), **more) -> None:
        """Trust a key."""
        jwk = public_jwk(kind, owner)
        self.store.keys.save(TrustedKey(f"{owner}-{kind}", owner, jwk, tuple(repositories), START, "test", **more))

    def publish(self, policy: str, rego: str, **parts: str) -> Revision:
        """Publish as somebody else than an importer would."""
        return self.publisher.publish(PolicySource(PolicyId.parse(policy), rego, origin="api", **parts), author="test")
