"""Servers for acceptance tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance_server import Server
from image import Image, build_image, only_once


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that tests may ask and give policies, but not stop."""
    server = Server(tmp_path_factory.mktemp("server"), {"POLICY_MAX_BODY": "10MiB"})
    server.start()
    yield server
    assert server.stop() == 0, server.log()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make servers of one's own; whatever still runs is ended afterwards."""
    made: list[Server] = []

    def make(**settings: str) -> Server:
        server = Server(tmp_path, {f"POLICY_{name.upper()}": value for name, value in settings.items()})
        made.append(server)
        return server

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.stop()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Image:
    """What the Dockerfile's build stage makes, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "image"
    with only_once(directory) as first:
        return build_image(directory / "root") if first else Image(directory / "root")
