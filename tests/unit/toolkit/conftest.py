"""What the tests of the toolkit share."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from policy_server.model.errors import BuiltinFailed
from policy_server.toolkit.toolkit import Toolkit

TWICE: Mapping[str, object] = {
    "name": "demo.twice",
    "decl": {"type": "function", "args": [{"type": "number"}], "result": {"type": "number"}},
}


@pytest.fixture
def twice() -> list[Mapping[str, object]]:
    """Return the declaration of a function that only the host has."""
    return [TWICE]


@pytest.fixture
def host() -> Callable[[str, bytes], bytes | None]:
    """Return a host that doubles numbers, does not know zero and fails for negative ones."""

    def answer(name: str, arguments: bytes) -> bytes | None:
        assert name == "demo.twice"
        (number,) = json.loads(arguments)
        if number < 0:
            raise BuiltinFailed("negative")
        return None if number == 0 else json.dumps(number * 2).encode()

    return answer


@pytest.fixture
def limited(toolkit_file: Path, toolkit_cache: Path) -> Callable[..., Toolkit]:
    """Make toolkits with limits of their own."""

    def make(**limits: float) -> Toolkit:
        return Toolkit(toolkit_file, cache=toolkit_cache, **limits)

    return make
