"""What the tests of functions with a network share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asked_sites import LOOPBACK, Asked, Site

from policy_server.builtins.network import Network, settled_registry
from policy_server.builtins.registry import Registry
from policy_server.toolkit.toolkit import Toolkit


@pytest.fixture
def sites() -> Iterator[Callable[..., Site]]:
    """Return a function that starts servers; they end with the test."""
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def site(sites: Callable[..., Site]) -> Site:
    """Return a server on loopback."""
    return sites()


@pytest.fixture
def http() -> Asked:
    """Return ``http.send`` that may reach loopback."""
    return Asked(LOOPBACK)


@pytest.fixture
def network_registry(toolkit: Toolkit) -> Callable[[Network], Registry]:
    """Return a function from a network to all functions, the toolkit's included."""
    return lambda network: settled_registry(network, {}, toolkit)
