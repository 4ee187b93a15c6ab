"""The bundled policies are there from the start, and an administrator's work on them stays."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_server.compiler.compiler import RegoCompiler
from policy_server.compiler.tree import compile_tree
from policy_server.model.errors import CompileError
from policy_server.model.policy import PolicyId, PolicySource, PolicyState
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.bundled import BundledFeed
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.toolkit import Toolkit

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("bundled", "pexip", "service", "1.0")
REGO = "package pexip.service\n\ndecision := data.rules\n"


class Product:
    """A product directory with one bundled policy."""

    def __init__(self, root: Path, compiler: RegoCompiler) -> None:
        self.root = root
        self.directory = root / "rego" / "pexip" / "service" / "1.0"
        self.module = root / "compiled" / "pexip" / "service" / "1.0"
        self._compiler = compiler

    def ship(self, rego: str = REGO, data: str = '{"rules": []}', schema: str | None = None) -> None:
        """Write and compile a version of the policy."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "policy.rego").write_text(rego)
        (self.directory / "data.json").write_text(data)
        if schema is not None:
            (self.directory / "output-schema.json").write_text(schema)
        compile_tree(self.root / "rego", self.root / "compiled", self._compiler)


@pytest.fixture
def product(tmp_path: Path, toolkit: Toolkit) -> Product:
    """Give a product with its first version."""
    made = Product(tmp_path, RegoCompiler(toolkit, []))
    made.ship()
    return made


@pytest.fixture
def feed(product: Product, store: MemoryStore) -> BundledFeed:
    """Give a feed over the product; it has no compiler."""
    return BundledFeed(product.root, store, lambda: AT)


def test_an_empty_store_gets_the_bundled_policies(feed: BundledFeed, store: MemoryStore) -> None:
    """With the sample data, ready to answer, and without a toolkit."""
    report = feed.seed()

    record = store.get(ID)
    assert report.published == (ID,)
    assert (record.state, record.revision.data, record.revision.author) == (
        PolicyState.READY,
        '{"rules": []}',
        "bundled",
    )
    assert store.module(record.revision.manifest.digest).startswith(b"\0asm")
    assert "pexip/service/decision" in record.revision.manifest.entrypoints


def test_a_second_start_changes_nothing(feed: BundledFeed, product: Product, store: MemoryStore) -> None:
    """Not even when the product was upgraded: that is another step."""
    feed.seed()
    product.ship(f"{REGO}# new\n")
    stamp = store.stamp()

    assert (feed.seed().unchanged, store.stamp()) == ((ID,), stamp)


def test_an_upgrade_keeps_the_rule_book(feed: BundledFeed, product: Product, publisher, store: MemoryStore) -> None:
    """New code answers with the data an administrator made."""
    feed.seed()
    publisher.publish_data(ID, '{"rules": ["mine"]}', author="admin")
    product.ship(f"{REGO}# new\n", data='{"rules": ["sample"]}')

    report = feed.upgrade()

    active = store.get(ID).revision
    assert report.published == (ID,)
    assert (active.data, active.source.rego) == ('{"rules": ["mine"]}', f"{REGO}# new\n")
    assert active.source.data == '{"rules": ["sample"]}'


def test_an_upgrade_without_new_code_changes_nothing(feed: BundledFeed, product: Product, store: MemoryStore) -> None:
    """New sample data alone is no reason to touch anything."""
    feed.upgrade()
    product.ship(data='{"rules": ["sample"]}')
    stamp = store.stamp()

    assert (feed.upgrade().unchanged, store.stamp()) == ((ID,), stamp)


def test_a_new_schema_is_new_code(feed: BundledFeed, product: Product, store: MemoryStore) -> None:
    """Everything but the data counts."""
    feed.seed()
    product.ship(schema='{"type": "object"}')

    feed.upgrade()

    assert store.get(ID).revision.source.output_schema == '{"type": "object"}'


def test_an_upgrade_leaves_own_code_alone(feed: BundledFeed, product: Product, publisher, store: MemoryStore) -> None:
    """Whoever published over a bundled policy knows why."""
    feed.seed()
    publisher.publish(PolicySource(ID, f"{REGO}# mine\n", origin="api"), author="admin")
    product.ship(f"{REGO}# new\n")

    assert feed.upgrade().unchanged == (ID,)


def test_a_reset_brings_the_sample_back(feed: BundledFeed, publisher, store: MemoryStore) -> None:
    """Code and data as they were shipped."""
    feed.seed()
    publisher.publish(PolicySource(ID, f"{REGO}# mine\n", data='{"rules": ["mine"]}', origin="api"), author="admin")

    assert feed.reset().published == (ID,)
    active = store.get(ID).revision
    assert (active.number, active.source.rego, active.data) == (3, REGO, '{"rules": []}')
    assert feed.reset().unchanged == (ID,)


def test_a_policy_that_never_worked_is_seeded(feed: BundledFeed, publisher, store: MemoryStore) -> None:
    """A failure is no reason to stay without a policy."""
    with pytest.raises(CompileError):
        publisher.publish(PolicySource(ID, "package pexip.service\n\nx :=", origin="api"), author="admin")

    feed.seed()

    assert store.get(ID).state is PolicyState.READY


@pytest.mark.parametrize("damage", ["missing", "manifest", "half", "bytes"])
def test_a_policy_without_its_module_is_named(
    feed: BundledFeed, product: Product, store: MemoryStore, damage: str
) -> None:
    """The others are published all the same; nothing here raises."""
    if damage == "missing":
        shutil.rmtree(product.module)
    elif damage == "manifest":
        (product.module / "manifest.json").write_text("[]")
    elif damage == "half":
        (product.module / "policy.wasm").unlink()
    else:
        (product.module / "policy.wasm").write_bytes(b"\0asm")

    report = feed.seed()

    assert [item.path for item in report.skipped] == [str(product.directory)]
    assert (report.published, store.stamp()) == ((), 0)


def test_a_module_of_other_rego_is_not_published(feed: BundledFeed, product: Product, store: MemoryStore) -> None:
    """Source and module of a revision always belong together."""
    (product.directory / "policy.rego").write_text(f"{REGO}# edited\n")

    report = feed.seed()

    assert "was made of other Rego" in report.skipped[0].reason
    assert store.stamp() == 0


def test_sample_data_is_checked(feed: BundledFeed, product: Product, store: MemoryStore) -> None:
    """Shipped or not, data is a JSON object."""
    (product.directory / "data.json").write_text("[]")

    assert "must be a JSON object" in feed.seed().skipped[0].reason


def test_a_product_without_policies_is_fine(tmp_path: Path, store: MemoryStore) -> None:
    """Nothing is published, and the report says so."""
    report = BundledFeed(tmp_path / "nowhere", store, lambda: AT).seed()

    assert (report.published, len(report.skipped)) == ((), 1)


def test_publishing_what_was_shipped_changes_nothing(feed: BundledFeed, publisher: SourcePublisher, store) -> None:
    """Both ways of publishing agree about digests."""
    feed.seed()
    active = store.get(ID).revision

    assert publisher.publish(replace(active.source, origin="api"), author="admin") == active
