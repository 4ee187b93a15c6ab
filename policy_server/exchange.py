"""Joins what is told to others (events) with what is handed to them and taken from them (bundles)."""

from collections.abc import Callable
from functools import cached_property, partial
from urllib.parse import urlsplit

from policy_server.api.metrics import Metrics
from policy_server.api.parts import Bundles
from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.bundles.signers import LocalSigner, NoSigner, RemoteSigner, Signer
from policy_server.bundles.trust import Issuer, Trust
from policy_server.events.deliverer import Deliverer
from policy_server.events.joining import Wanted, make_sinks
from policy_server.events.payloads import Form
from policy_server.events.standing import Standing
from policy_server.events.subscriptions import Subscriptions
from policy_server.events.webhooks import Webhooks
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.ports import Clock, Publisher, Store
from policy_server.settings import Settings


def managed(settings: Settings, policy: PolicyId) -> str | None:
    """Say where a policy is edited when that is neither the API nor a bundle; None when it is."""
    places = {each.name: "its Git repository" for each in settings.git.items}
    places |= {name: f"the folder {path}" for name, path in settings.folders}
    return places.get(policy.repository)


class Exchange:
    """Each thing is made when it is first asked for."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        *,
        rehearse: Callable[[PolicySource], None],
    ) -> None:
        """Take the collaborators; ``rehearse`` compiles and loads a source, and keeps nothing."""
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._rehearse = rehearse

    @cached_property
    def event_client(self) -> GuardedClient:
        """The way out to subscribers and other receivers of events."""
        timeout = self._settings.event_timeout
        return GuardedClient(
            NetworkGuard(self._settings.allowed_networks),
            connect_timeout=min(5.0, timeout),
            read_timeout=timeout,
            deadline=timeout,
            max_bytes=1 << 20,  # what a receiver answers is not kept
        )

    @cached_property
    def event_options(self) -> Wanted:
        """Who is told besides subscribers, and how."""
        settings = self._settings
        return Wanted(
            nats_servers=settings.nats_url,
            nats_subject=settings.nats_subject,
            http_urls=settings.event_sinks,
            form=Form(settings.event_format),
            timeout=settings.event_timeout,
            retry=settings.event_retry,
            patience=settings.event_patience,
        )

    @cached_property
    def webhooks(self) -> Webhooks:
        """Calls subscribers."""
        return Webhooks(self._store.subscribers, self.event_client, self._clock, backoff=self.event_options.backoff)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """Who wants to be called."""
        return Subscriptions(self._store, self.webhooks, NetworkGuard(self._settings.allowed_networks), self._clock)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Moves events from the outbox to those who want them."""
        return Deliverer(
            self._store.outbox,
            self._store.stamp,
            [self.webhooks, *make_sinks(self.event_options, self.event_client)],
            self._clock,
            self._metrics,
            patience=self._settings.event_timeout + 2.0,  # the guarded client's own limit, and some for the store
            poll=self._settings.event_poll,
            share=self.standing.save,
        )

    @cached_property
    def standing(self) -> Standing:
        """How delivering goes, wherever it is done."""
        return Standing(self._store.cache, self._clock)

    @cached_property
    def signer(self) -> Signer:
        """Who signs bundles; a key of our own comes before the service."""
        settings = self._settings
        if settings.bundle_key is not None:
            return LocalSigner(settings.bundle_key)
        if not settings.signer_url:
            return NoSigner()
        # The operator named this host, so that it may be reached wherever it is.
        host = urlsplit(settings.signer_url).hostname or ""
        guard = NetworkGuard((*settings.allowed_networks, host))
        return RemoteSigner(settings.signer_url, GuardedClient(guard, deadline=10.0, max_bytes=1 << 20))

    @cached_property
    def trust(self) -> Trust:
        """Whose bundles are imported."""
        settings = self._settings
        issuers = [Issuer(name, repositories) for name, repositories in settings.bundle_issuers]
        client = GuardedClient(NetworkGuard(settings.allowed_networks), deadline=10.0, max_bytes=1 << 20)
        return Trust(self._store.keys, client, self._clock, file=settings.bundle_trusted_keys, issuers=issuers)

    @cached_property
    def bundles(self) -> Bundles:
        """Exports and imports."""
        settings, store = self._settings, self._store
        importer = Importer(
            store, self._publisher, self.trust, self._clock, rehearse=self._rehearse, managed=partial(managed, settings)
        )
        guard = NetworkGuard(settings.allowed_networks)
        client = GuardedClient(guard, deadline=60.0, max_bytes=settings.bundle_max_bytes)
        return Bundles(
            exporter=Exporter(store, self.signer, lambda: settings.url),
            importer=importer,
            auto=AutoImporter(store, importer, client, self._clock),
            max_bytes=settings.bundle_max_bytes,
        )
