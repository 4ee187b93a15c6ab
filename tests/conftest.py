"""What tests of several rooms need: the toolkit that set-up built."""

import logging
from collections.abc import Iterator
from pathlib import Path

import database_servers
import pytest

from policy_server.settings import load_settings
from policy_server.toolkit.location import find_toolkit
from policy_server.toolkit.toolkit import Toolkit

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def toolkit_file() -> Path:
    """Return the built toolkit; without it nothing can be tested."""
    found = find_toolkit()
    assert found is not None, "there is no toolkit: run scripts/setup first"
    return found


@pytest.fixture(scope="session")
def toolkit_cache() -> Path:
    """Return the directory whose machine code set-up made; the toolkit itself keeps parallel tests apart."""
    return load_settings().cache_dir / "toolkit"


@pytest.fixture(scope="session")
def toolkit(toolkit_file: Path, toolkit_cache: Path) -> Iterator[Toolkit]:
    """Return one toolkit for all tests of a process."""
    shared = Toolkit(toolkit_file, cache=toolkit_cache)
    yield shared
    shared.close()


@pytest.fixture
def restored() -> Iterator[None]:
    """Let a test set logging up as a server does, and the next ones find it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_unconfigure() -> None:
    """Stop the database servers that this process was the last to use."""
    database_servers.leave()
