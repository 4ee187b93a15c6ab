"""A folder and Git repositories to write policies into, and the real compiler behind the publisher."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_server import Daemon, Ssh, Web, Work, make_work, need_git

from policy_server.compiler.compiler import RegoCompiler
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.folder import FolderFeed
from policy_server.sources.git import GitFeed, GitLimits
from policy_server.sources.git_config import read_repositories
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.toolkit import Toolkit

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
Write = Callable[..., Path]
Feed = Callable[..., GitFeed]


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


@pytest.fixture
def feed(root: Path, publisher: SourcePublisher, store: MemoryStore) -> FolderFeed:
    """Give a feed over the folder."""
    return FolderFeed([("repo", root)], publisher, store, clock=lambda: AT)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """An empty repository, and a clone to work in."""
    need_git()
    return make_work(tmp_path)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A Git server."""
    need_git()
    server = Daemon(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A Git server that speaks HTTP."""
    need_git()
    server = Web(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_feed(publisher: SourcePublisher, store: MemoryStore, tmp_path: Path) -> Feed:
    """Make feeds; settings of the repository by name."""

    def make(url: str, *, limits: GitLimits | None = None, name: str = "policies", **table: object) -> GitFeed:
        (repository,) = read_repositories({name: {"url": url, **table}}).items
        limits = limits or GitLimits(timeout=10, deadline=30)
        return GitFeed(repository, publisher, store, tmp_path / "state", clock=lambda: AT, limits=limits)

    return make


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    """A Git server behind SSH."""
    need_git()
    server = Ssh(tmp_path)
    server.start()
    yield server
    server.stop()
