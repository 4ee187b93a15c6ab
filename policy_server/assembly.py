"""Chooses and joins all concrete things; starts nothing until told to open."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from policy_server.admission import Admission, announce, first_token
from policy_server.api.app import App, make_app
from policy_server.api.metrics import Metrics
from policy_server.api.parts import ApiOptions, Parts
from policy_server.builtins.call import Call
from policy_server.builtins.network import allowed_for, settled_registry
from policy_server.builtins.opa import NETWORK
from policy_server.builtins.registry import Registry
from policy_server.chores import Chores
from policy_server.compiler.compiler import RegoCompiler
from policy_server.compiler.measured import MeasuredCompiler
from policy_server.decisions import taking
from policy_server.engine.catalog import Catalog
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.explaining import Explainer
from policy_server.engine.policy import Policy
from policy_server.engine.proving import Proof
from policy_server.engine.results import Results, ServiceCache, StoreCache
from policy_server.engine.versions import Versions
from policy_server.exchange import Exchange, managed
from policy_server.extending import extensions
from policy_server.model.policy import Dialect, PolicyId, PolicySource, Revision
from policy_server.model.status import State, Status
from policy_server.model.values import Json, JsonObject
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.pexip.answers import Answers, Observation, Outcome, Route
from policy_server.pexip.kinds import RequestKind
from policy_server.ports import Compiler, Store
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.rehearsal import Rehearsal
from policy_server.publishing.schema import OutputSchemas
from policy_server.recording import Recording
from policy_server.refresh.refresher import Refresher
from policy_server.settings import Settings
from policy_server.sources.bundled import BundledFeed
from policy_server.sources.git_requests import GitRequests
from policy_server.storage.opening import open_store
from policy_server.toolkit.location import bundled_root, find_toolkit
from policy_server.toolkit.toolkit import Toolkit
from policy_server.tracing import spans
from policy_server.wasm.module import ModuleCache

_HOUR = 3600.0
_GAUGES = 5.0
log = logging.getLogger(__name__)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Assembly:
    """Everything one process is made of, each thing made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is opened yet."""
        self.settings = settings
        self._since = now()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @cached_property
    def store(self) -> Store:
        """The store the settings name; its schema is brought up to date."""
        return open_store(self.settings.database, keep=self.settings.keep_revisions)

    @cached_property
    def toolkit(self) -> Toolkit:
        """OPA; loaded at its first use, and never on the way of an answer that does not need it."""
        module = find_toolkit(self.settings.toolkit) or bundled_root() / "compiled" / "opa-toolkit.wasm"
        return Toolkit(
            module,
            cache=self.cache / "toolkit",
            memory_limit=self.settings.toolkit_memory,
            deadline=self.settings.toolkit_deadline,
        )

    @property
    def cache(self) -> Path:
        """Where compiled native code is kept; it can be deleted at any time."""
        return self.settings.cache_dir

    @cached_property
    def registry(self) -> Registry:
        """The Rego functions this host answers."""
        outgoing = self.admission.outgoing
        bearer = None if outgoing is None else outgoing.header
        made = extensions(self.settings, values=self.store.values, cache=self.store.cache, bearer=bearer)
        return settled_registry(self.settings.network, self.settings.runtime_variables, self.toolkit, made=made)

    @cached_property
    def _quiet(self) -> Registry:
        """The same, for policies that may not ask other servers."""
        reason = "POLICY_HTTP_SEND_POLICIES does not allow this policy to ask other servers"
        return self.registry.without(NETWORK, reason)

    @cached_property
    def modules(self) -> ModuleCache:
        """The modules this process has loaded."""
        return ModuleCache(self.cache / "modules")

    @cached_property
    def compiler(self) -> RegoCompiler:
        """Rego to WASM."""
        return RegoCompiler(self.toolkit, self.registry.declarations(), self.registry.unavailable())

    @cached_property
    def _measured(self) -> Compiler:
        """The same, counted."""
        return MeasuredCompiler(self.compiler, self.metrics.workings.compiled)

    @cached_property
    def catalog(self) -> Catalog:
        """The policies that are ready to run."""
        settings = self.settings
        return Catalog(self.store, self.load_revision, now, poll=settings.worker_poll, limit=settings.loaded_policies)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Answers questions."""
        return self.recording.evaluator(self.catalog, traced=spans.tracer is not None)

    @cached_property
    def recording(self) -> Recording:
        """Records decisions."""
        return Recording(self.settings, lambda: self.store, self.metrics, now)

    @cached_property
    def explainer(self) -> Explainer:
        """Tells how decisions come about."""
        return Explainer(self.evaluator, self.toolkit, self.registry)

    @cached_property
    def versions(self) -> Versions:
        """The policies by their package."""
        return Versions(self.store, self.settings.data_api_repositories)

    @cached_property
    def results(self) -> Results:
        """What keeps results for a while."""
        url = self.settings.cache_url
        if not url:
            return Results(StoreCache(self.store.cache, now))
        # The operator named this host, so that it may be reached wherever it is.
        guard = NetworkGuard((*self.settings.allowed_networks, urlsplit(url).hostname or ""))
        client = GuardedClient(guard, read_timeout=5.0, deadline=5.0, max_bytes=1 << 16)
        outgoing = self.admission.outgoing
        return Results(ServiceCache(client, url, bearer=None if outgoing is None else outgoing.header))

    @cached_property
    def publisher(self) -> SourcePublisher:
        """The one door for all writers."""
        return SourcePublisher(self.store, self._measured, now, self.catalog.wake, prove=Proof(self._load_text))

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """Publishing without its end."""
        return Rehearsal(self._measured, Proof(self._load_text), self._test)

    @cached_property
    def schemas(self) -> OutputSchemas:
        """Compiled output schemas."""
        return OutputSchemas()

    @cached_property
    def refresher(self) -> Refresher:
        """Fetches data on its schedule."""
        settings = self.settings
        client = GuardedClient(
            NetworkGuard(settings.allowed_networks),
            connect_timeout=min(5.0, settings.refresh_timeout),
            read_timeout=settings.refresh_timeout,
            deadline=settings.refresh_timeout,
            max_bytes=settings.refresh_max_bytes,
        )
        seen = self.metrics.workings.refreshed
        return Refresher(self.store, self.publisher, client, now, retry=settings.refresh_retry, seen=seen)

    @cached_property
    def exchange(self) -> Exchange:
        """What is told to others, and what is handed to and taken from them."""
        return Exchange(self.settings, self.store, self.publisher, self.metrics, now, rehearse=self._rehearse)

    @cached_property
    def bundled(self) -> BundledFeed:
        """The policies that come with the product."""
        return BundledFeed(bundled_root(), self.store, now)

    @cached_property
    def git_requests(self) -> GitRequests:
        """How they are doing, for whoever asks."""
        return GitRequests(self.settings.git.items, self.store.cache, now)

    @cached_property
    def admission(self) -> Admission:
        """Who may come in."""
        return Admission(self.settings, lambda: self.store, now)

    @cached_property
    def metrics(self) -> Metrics:
        """What is counted."""
        return Metrics()

    @cached_property
    def routes(self) -> dict[RequestKind, Route]:
        """Which policy answers which kind of Pexip request."""
        return {kind: self.settings.pexip_route(kind) for kind in RequestKind}

    @cached_property
    def answers(self) -> Answers:
        """Answers Pexip."""
        return Answers(self.evaluator.decide, self.routes, now, self._observe)

    @cached_property
    def chores(self) -> Chores:
        """Work beside the requests, done by one process at a time."""
        return Chores(
            self.settings,
            self.store,
            self.publisher,
            now,
            exchange=self.exchange,
            recording=self.recording,
            refresher=self.refresher,
            metrics=self.metrics,
            toolkit=self.toolkit.digest,
            known=self.catalog.status,
        )

    def load(self, wasm: bytes, *, data: bytes | None = None, registry: Registry | None = None) -> Policy:
        """Make a runnable policy; ``registry`` in place of the usual functions."""
        return Policy.load(
            wasm,
            data=data,
            modules=self.modules,
            registry=self.registry if registry is None else registry,
            memory_limit=self.settings.evaluation_memory,
            deadline=self.settings.evaluation_deadline,
            # As many as there are threads: calls, and everything else.
            size=2 * self.settings.threads,
        )

    def load_revision(self, wasm: bytes, revision: Revision) -> Policy:
        """Make a runnable policy of a revision, with its data."""
        may_send = allowed_for(str(revision.id), self.settings.http_send_policies)
        return self._load_text(wasm, revision.data, None if may_send else self._quiet)

    def app(self, *, local: bool = False) -> App:
        """Return the WSGI application; ``local`` for commands, which need not say who they are."""
        settings = self.settings
        options = ApiOptions(
            max_body=settings.max_body,
            evaluation_deadline=settings.evaluation_deadline,
            pexip_credentials=tuple((user, secret.get_secret_value()) for user, secret in settings.pexip_credentials),
            pexip_policies=tuple(route.policy for route in self.routes.values() if route.enabled),
            lock_on_validation_failure=settings.lock_on_validation_failure,
            serve_metrics=not settings.metrics_address,
            url=settings.url,
            authzen_policy=settings.authzen_policy,
        )
        subsystems = {"background": self.chores.background.status, "toolkit": self._toolkit_status}
        subsystems["events"] = self.chores.events
        subsystems |= self.recording.subsystems()
        if settings.folders:
            subsystems["folders"] = self.chores.following
        if self.admission.rings:
            subsystems["keys"] = self.admission.keys_status
        if settings.git.items:
            subsystems["git"] = partial(self.chores.kept, self.git_requests.status)
        return make_app(
            Parts(
                answers=self.answers,
                evaluator=self.evaluator,
                store=self.store,
                publisher=self.publisher,
                rehearsal=self.rehearsal,
                refresher=self.refresher,
                schemas=self.schemas,
                catalog_status=self.catalog.status,
                find=self.catalog.find,
                versions=self.versions,
                results=self.results,
                clock=now,
                metrics=self.metrics,
                bundles=self.exchange.bundles,
                options=options,
                subsystems=subsystems,
                explainer=self.explainer if settings.explain else None,
                gate=self.admission.gate(local=local),
                tokens=self.admission.tokens,
                subscriptions=self.exchange.subscriptions,
                managed=self.managed,
                git=self.git_requests,
                decisions=self.recording.kept(local=local),
                take=None if local or self.recording.log is None else self.recording.log.take,
            )
        )

    def managed(self, policy: PolicyId) -> str | None:
        """Say where a policy is edited when that is not through the API."""
        return managed(self.settings, policy)

    def open(self, *, background: bool = True) -> None:
        """Load the policies Pexip asks for and start this process's threads.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        if self.settings.bundled and self.settings.storage_url == "memory:":
            # Nobody before this process could have put them there.
            self.bundled.seed()
        self.catalog.sync()
        self.versions.follow()  # now, so that the data API answers also when the store is away at its first question
        self.catalog.preload(route.policy for route in self.routes.values() if route.enabled)
        if self.settings.storage_url == "memory:":
            announce(first_token(self.settings, self.admission.tokens))
        self._start("catalog", self.catalog.watch)
        self._start("follow", lambda stop: self.store.follow(self.catalog.wake, stop))
        if self.settings.auth_enabled:
            self._start("auth", self.admission.watch)
        self._start("results", self.results.run)
        if self.recording.log is not None:
            self._start("decisions", self.recording.log.run)
        if background:
            self._start("background", self.chores.background.supervise)
            self._start("gauges", self._measure)

    def close(self) -> None:
        """Stop the threads and give everything back; safe to repeat."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads.clear()
        for name in ("catalog", "toolkit", "store"):
            # What was never made needs no closing.
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def _test(self, modules: Mapping[str, str], data: Json, dialect: Dialect) -> JsonObject:
        """Run the tests of modules in OPA's interpreter, with our functions."""
        call = Call({}, time.time_ns(), time.monotonic() + self.settings.toolkit_deadline)
        declared, host = self.registry.declarations(), self.registry.host(call)
        answer = self.toolkit.test(modules, data=data, dialect=dialect, builtins=declared, host=host)
        return cast(JsonObject, answer)

    def _load_text(self, wasm: bytes, data: str | None, registry: Registry | None = None) -> Policy:
        return self.load(wasm, data=None if data is None else data.encode(), registry=registry)

    def _rehearse(self, source: PolicySource) -> None:
        """Compile and load, and keep nothing."""
        Proof(self._load_text)(self._measured.compile(source).wasm, source.data)

    def _start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _measure(self, halt: threading.Event) -> None:
        """Note, every few seconds, what this worker has loaded and how it is doing."""
        workings = self.metrics.workings
        while not halt.wait(_GAUGES):
            workings.engine(*self.catalog.usage())
            workings.condition(
                degraded=self.catalog.status().state is State.DEGRADED,
                acting=self.chores.acts(),
            )

    def _observe(self, seen: Observation) -> None:
        self.metrics.pexip(seen)
        taking.observe(seen)
        if seen.outcome is Outcome.FALLBACK:
            log.warning(
                "fallback for a request of kind %s: %s",
                seen.kind,
                seen.detail,
                extra={"action": "pexip.fallback", "reason": seen.reason, "decision_id": seen.decision_id},
            )

    def _toolkit_status(self) -> Status:
        module = find_toolkit(self.settings.toolkit)
        if module is None or not module.is_file():
            return Status(State.DEGRADED, "not installed: new policies cannot be compiled", self._since)
        return Status(State.READY, "loaded" if self.toolkit.loaded() else "loads at its first use", self._since)


def assemble(settings: Settings) -> Assembly:
    """Join everything for one process; starts nothing."""
    return Assembly(settings)
