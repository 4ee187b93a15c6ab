"""The whole server in this process, of real parts, with a store in memory."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from wsgi_client import Client

from policy_server.api.app import make_app
from policy_server.api.metrics import Metrics
from policy_server.api.parts import Parts
from policy_server.builtins.registry import Registry
from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.catalog import Catalog
from policy_server.engine.policy import Policy
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource, Revision
from policy_server.ports import Store
from policy_server.publishing.publisher import SourcePublisher
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache

ROOT = Path(__file__).resolve().parents[2]


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class RememberingCompiler:
    """Compiles each source once in a test run."""

    def __init__(self, compiler: RegoCompiler, known: dict[PolicySource, CompiledPolicy] | None = None) -> None:
        """Take who compiles, and what is known from other servers."""
        self._compiler = compiler
        self.toolkit = compiler.toolkit
        self._known = {} if known is None else known

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile, or remember."""
        plain = replace(source, data=None, data_config=None, output_schema=None, export_config=None, origin="")
        if plain not in self._known:
            self._known[plain] = self._compiler.compile(plain)
        return self._known[plain]


@dataclass
class Server:
    """A server and what is behind it."""

    client: Client
    store: Store
    publisher: SourcePublisher
    catalog: Catalog
    parts: Parts

    def publish(self, policy: str, rego: str, **parts: str) -> Revision:
        """Publish a source and let this worker see it."""
        revision = self.publisher.publish(PolicySource(PolicyId.parse(policy), rego, **parts), author="test")
        self.catalog.sync()
        return revision

    def fresh(self, **options) -> Client:
        """Return a client of the same server with other options."""
        parts = replace(self.parts, options=replace(self.parts.options, **options))
        return Client(make_app(parts))


@dataclass
class Workshop:
    """What is made once for all tests of a process."""

    registry: Registry
    compiler: RememberingCompiler
    modules: ModuleCache
    toolkit: Toolkit
    metrics: list[Metrics] = field(default_factory=list)

    def rehearse(self, source: PolicySource) -> None:
        """Compile, and keep nothing."""
        self.compiler.compile(source)

    def load(self, wasm: bytes, revision: Revision) -> Policy:
        """Make a runnable policy."""
        data = (revision.data or "{}").encode()
        return Policy.load(wasm, data=data, modules=self.modules, registry=self.registry)

    def test(self, modules, data, dialect):
        """Run tests in OPA's interpreter."""
        toolkit = self.compiler.toolkit
        return toolkit.test(modules, data=data, dialect=dialect, builtins=self.registry.declarations())
