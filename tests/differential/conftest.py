"""How long to look for differences: seconds in the test suite, longer with ``scripts/fuzz``."""

import os

import pytest

from policy_server.builtins.registry import Registry
from policy_server.toolkit.toolkit import Toolkit

FACTOR = "FUZZ_TIMES"
"""Environment variable: how many times the usual number of examples are tried; settings refuse other POLICY_ names."""


@pytest.fixture(scope="session")
def effort() -> int:
    """Return by how much the usual number of examples is multiplied."""
    return int(os.environ.get(FACTOR, "1"))


@pytest.fixture(scope="session")
def registry(toolkit: Toolkit) -> Registry:
    """Return the product's builtins with the toolkit behind them."""
    return Registry.discover().bind(toolkit)
