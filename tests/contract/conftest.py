"""Give the contract tests every backend in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_backends import BACKENDS

from policy_server.ports import Store
from policy_server.storage.opening import open_store


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
