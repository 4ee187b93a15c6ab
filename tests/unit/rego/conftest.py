"""The bundled policies, compiled once a worker."""

from collections.abc import Iterator

import pytest

from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache
from rego.bundled import Bundle


@pytest.fixture(scope="session")
def bundle(toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """Return the bundled policies; workers of one run share the machine code."""
    made = Bundle(toolkit, ModuleCache(tmp_path_factory.getbasetemp().parent / "bundled-modules"))
    yield made
    made.close()
