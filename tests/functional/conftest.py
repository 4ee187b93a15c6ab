"""Servers for the functional tests."""

from collections.abc import Callable, Iterator

import pytest
from functional_server import ROOT, RememberingCompiler, Server, Workshop, now
from wsgi_client import Client

from policy_server.api.app import make_app
from policy_server.api.metrics import Metrics
from policy_server.api.parts import ApiOptions, Bundles, Parts
from policy_server.builtins.registry import Registry
from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.bundles.signers import NoSigner
from policy_server.bundles.trust import Trust
from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.catalog import Catalog
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.explaining import Explainer
from policy_server.engine.results import Results, StoreCache
from policy_server.engine.versions import Versions
from policy_server.events.subscriptions import Subscriptions
from policy_server.events.webhooks import Webhooks
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.pexip.answers import Answers, Route
from policy_server.pexip.kinds import RequestKind
from policy_server.ports import Store
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.rehearsal import Rehearsal
from policy_server.publishing.schema import OutputSchemas
from policy_server.refresh.refresher import Refresher
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.location import find_toolkit
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The toolkit, from the cache that set-up fills, and what stands on it."""
    module = find_toolkit()
    assert module is not None, "run scripts/setup first"
    toolkit = Toolkit(module, cache=ROOT / ".cache" / "toolkit")
    registry = Registry.discover().bind(toolkit)
    compiler = RememberingCompiler(RegoCompiler(toolkit, registry.declarations()))
    return Workshop(registry, compiler, ModuleCache(tmp_path_factory.mktemp("modules")), toolkit)


@pytest.fixture
def make_server(workshop: Workshop) -> Iterator[Callable[..., Server]]:
    """Make servers, each with an empty store; options of the API are taken by name."""
    catalogs: list[Catalog] = []

    def make(
        *,
        store: Store | None = None,
        subsystems=None,
        networks=(),
        managed=None,
        repositories=(),
        explain=False,
        signer=None,
        issuers=(),
        git=None,
        **options,
    ) -> Server:
        store, managed = store or MemoryStore(), managed or (lambda _policy: None)
        catalog = Catalog(store, workshop.load, now)
        catalogs.append(catalog)
        evaluator, metrics = Evaluator(catalog), Metrics()
        routes = {kind: Route(enabled=True, policy=PolicyId("test", "pexip", str(kind), "1.0")) for kind in RequestKind}
        publisher = SourcePublisher(store, workshop.compiler, now, catalog.wake)
        client = GuardedClient(NetworkGuard(networks))
        trust = Trust(store.keys, client, now, file=None, issuers=issuers)
        importer = Importer(store, publisher, trust, now, rehearse=workshop.rehearse, managed=managed)
        bundles = Bundles(
            exporter=Exporter(store, signer or NoSigner(), lambda: "https://us.example.com"),
            importer=importer,
            auto=AutoImporter(store, importer, client, now),
            max_bytes=1 << 20,
        )
        webhooks = Webhooks(store.subscribers, GuardedClient(NetworkGuard(networks)), now)
        parts = Parts(
            answers=Answers(evaluator.decide, routes, now, metrics.pexip),
            evaluator=evaluator,
            store=store,
            publisher=publisher,
            rehearsal=Rehearsal(workshop.compiler, lambda _wasm, _data: None, workshop.test),
            managed=managed,
            refresher=Refresher(store, publisher, client, now),
            schemas=OutputSchemas(),
            catalog_status=catalog.status,
            find=catalog.find,
            versions=Versions(store, repositories),
            results=Results(StoreCache(store.cache, now)),
            clock=now,
            metrics=metrics,
            bundles=bundles,
            options=ApiOptions(**options),
            subsystems=subsystems or {},
            explainer=Explainer(evaluator, workshop.toolkit, workshop.registry) if explain else None,
            subscriptions=Subscriptions(store, webhooks, NetworkGuard(networks), now),
            git=git,
        )
        catalog.sync()
        return Server(Client(make_app(parts)), store, publisher, catalog, parts)

    yield make
    for catalog in catalogs:
        catalog.close()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server with an empty store."""
    return make_server()
