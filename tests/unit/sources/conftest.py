"""A folder to write policies into, and the real compiler behind the publisher."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_server.compiler.compiler import RegoCompiler
from policy_server.publishing.publisher import SourcePublisher
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.toolkit import Toolkit

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
Write = Callable[..., Path]


@pytest.fixture
def store() -> MemoryStore:
    """Give an empty store."""
    return MemoryStore()


@pytest.fixture
def publisher(store: MemoryStore, toolkit: Toolkit) -> SourcePublisher:
    """Give a publisher that compiles for real."""
    return SourcePublisher(store, RegoCompiler(toolkit, []), lambda: AT, lambda: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty folder."""
    folder = tmp_path / "policies"
    folder.mkdir()
    return folder


@pytest.fixture
def write(root: Path) -> Write:
    """Give a function that writes a policy directory into the folder; returns the directory."""

    def write(where: str, rego: str | None = None, **files: str | bytes) -> Path:
        directory = root / where
        directory.mkdir(parents=True, exist_ok=True)
        group, name, _version = Path(where).parts[-3:]
        (directory / "policy.rego").write_text(rego or f"package {group}.{name}\n\nallow := true\n")
        for part, content in files.items():
            path = directory / f"{part.replace('_', '-')}.json"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return directory

    return write
