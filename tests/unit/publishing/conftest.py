"""A store, a clock and a compiler that only counts."""

import hashlib
from datetime import UTC, datetime

import pytest

from policy_server.model.errors import CompileError, Problem
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicySource
from policy_server.publishing.publisher import SourcePublisher
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CountingCompiler:
    """Compiles everything except text with the word broken, and counts."""

    def __init__(self) -> None:
        self.compiled: list[str] = []

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Make a module of the text itself."""
        self.compiled.append(source.rego)
        if "broken" in source.rego:
            raise CompileError(problems=[Problem("it is broken", "policy.rego", 3, 7)])
        wasm = b"wasm of " + source.rego.encode()
        digest = hashlib.sha256(wasm).hexdigest()
        return CompiledPolicy(wasm, Manifest(digest, "s", "1.22.2", Dialect.V1, (source.id.entrypoint,)))


@pytest.fixture
def store() -> MemoryStore:
    """Give an empty store."""
    return MemoryStore()


@pytest.fixture
def compiler() -> CountingCompiler:
    """Give a compiler that counts."""
    return CountingCompiler()


@pytest.fixture
def announced() -> list[int]:
    """Give the stamps at which something was announced."""
    return []


@pytest.fixture
def publisher(store: MemoryStore, compiler: CountingCompiler, announced: list[int]) -> SourcePublisher:
    """Give a publisher over the store."""
    return SourcePublisher(store, compiler, lambda: AT, lambda: announced.append(store.stamp()))
