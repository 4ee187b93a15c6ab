"""Rego to a running policy, for every room that needs one."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from policy_server.builtins.registry import Registry
from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.policy import Policy
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import Module, ModuleCache


@pytest.fixture
def restored() -> Iterator[None]:
    """Give the root logger back what it had."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def registry(toolkit: Toolkit) -> Registry:
    """Return the product's builtins with the toolkit behind them."""
    return Registry.discover().bind(toolkit)


@pytest.fixture(scope="session")
def compile_rego(toolkit: Toolkit, registry: Registry) -> Callable[..., bytes]:
    """Return a function from Rego of package ``t.p`` to wasm; each text is compiled once."""
    kept: dict[tuple[str, str], bytes] = {}

    def compile_text(rego: str, declarations: tuple[dict[str, object], ...] = ()) -> bytes:
        key = (rego, repr(declarations))
        if key not in kept:
            compiler = RegoCompiler(toolkit, [*registry.declarations(), *declarations])
            kept[key] = compiler.compile(PolicySource(PolicyId("test", "t", "p", "1.0"), rego)).wasm
        return kept[key]

    return compile_text


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> ModuleCache:
    """Return a module cache with a directory of its own."""
    return ModuleCache(Path(tmp_path_factory.mktemp("modules")) / "cache")


@pytest.fixture(scope="session")
def load_module(compile_rego: Callable[..., bytes], modules: ModuleCache) -> Callable[[str], Module]:
    """Return a function from Rego to a loaded module, held to the end of the session."""
    held: list[Module] = []

    def load(rego: str) -> Module:
        held.append(modules.load(compile_rego(rego)))
        return held[-1]

    return load


@pytest.fixture
def load_policy(
    load_module: Callable[[str], Module], compile_rego: Callable[..., bytes], modules: ModuleCache, registry: Registry
) -> Callable[..., Policy]:
    """Return a function from Rego to a policy; options go to Policy.load."""

    def load(rego: str, **options: object) -> Policy:
        load_module(rego)
        return Policy.load(compile_rego(rego), **{"modules": modules, "registry": registry, **options})

    return load
