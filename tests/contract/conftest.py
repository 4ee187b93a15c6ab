"""The backends that must all behave alike.

A new backend is one more line in ``BACKENDS``: its name, how to get the URL of
an empty database in a directory, and whether processes can share it. A backend
that needs a server starts it in its ``url`` function and skips, loudly, at home
when there is none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from policy_server.ports import Store
from policy_server.storage.opening import open_store


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to keep things."""

    name: str
    url: Callable[[Path], str]
    shared: bool


BACKENDS = (
    Backend("memory", lambda _: "memory:", shared=False),
    Backend("sqlite", lambda place: f"sqlite:///{place / 'state' / 'policies.db'}", shared=True),
)


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every backend, empty."""
    opened = open_store(request.param.url(tmp_path))
    yield opened
    opened.close()


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def short_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every backend, empty, told to keep three revisions."""
    opened = open_store(request.param.url(tmp_path), keep=3)
    yield opened
    opened.close()


@pytest.fixture(params=[backend for backend in BACKENDS if backend.shared], ids=lambda backend: backend.name)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every backend that several processes can use: the URL of an empty database."""
    url: str = request.param.url(tmp_path)
    return url
