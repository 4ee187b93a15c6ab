"""An importer and an exporter of real parts on a store in memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from bundle_desk import LOOPBACK, Clock, Desk

from policy_server.builtins.registry import Registry
from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.bundles.signers import NoSigner, Signer
from policy_server.bundles.trust import Issuer, Trust
from policy_server.compiler.compiler import RegoCompiler
from policy_server.publishing.publisher import SourcePublisher
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.toolkit import Toolkit


@pytest.fixture
def make_desk(toolkit: Toolkit, registry: Registry) -> Callable[..., Desk]:
    """Make desks, each with an empty store."""
    compiler = RegoCompiler(toolkit, registry.declarations())

    def make(
        *, signer: Signer | None = None, issuers: Sequence[Issuer] = (), file: Path | None = None, client=LOOPBACK
    ) -> Desk:
        store, clock = MemoryStore(), Clock()
        publisher = SourcePublisher(store, compiler, clock, lambda: None)
        trust = Trust(store.keys, client, clock, file=file, issuers=issuers)
        importer = Importer(
            store,
            publisher,
            trust,
            clock,
            rehearse=lambda source: compiler.compile(source) and None,
            managed=lambda _policy: None,
        )
        exporter = Exporter(store, signer or NoSigner(), lambda: "https://us.example.com")
        auto = AutoImporter(store, importer, client, clock, wait=lambda _seconds: None)
        return Desk(store, publisher, importer, exporter, auto, clock, trust)

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """A desk that trusts the key of its peer."""
    made = make_desk()
    made.pin()
    return made
