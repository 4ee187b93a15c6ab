"""What is asked of the toolkit, as it is sent, and what some answers hold."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from policy_server.model.policy import Dialect
from policy_server.model.values import UNDEFINED, Json, Undefined

Request = Mapping[str, Json | bytes]
"""A request before it is written; bytes are JSON text."""


@dataclass(frozen=True, slots=True)
class Built:
    """A compiled module with its entrypoints in id order and the builtins it leaves to the host."""

    wasm: bytes = field(repr=False)
    entrypoints: tuple[str, ...]
    builtins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuiltTest:
    """A test rule: where it stands, and how the module is asked for it.

    ``cases``: its value is an object of test cases. ``reason``: why it has no entrypoint, if so.
    """

    file: str
    row: int
    col: int
    entrypoint: str
    cases: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BuiltTests:
    """A module whose entrypoints are test rules, empty when there is none, and the builtins it leaves to the host."""

    wasm: bytes = field(repr=False)
    tests: tuple[BuiltTest, ...]
    builtins: tuple[str, ...]


def query_of(
    query: str, modules: Mapping[str, str], data: Json | bytes, input: Json | Undefined | bytes, dialect: Dialect
) -> dict[str, Json | bytes]:
    """Return what every evaluation says; data and input may be JSON text."""
    return {
        "query": query,
        "modules": modules,
        "data": data,
        "input": None if input is UNDEFINED else input,
        "defined": input is not UNDEFINED,
        "dialect": fixed(dialect),
    }


def encoded(request: Request) -> bytes:
    """Write a request as JSON text; a value that is bytes is JSON text already."""
    # PERF: a data document of many MiB is not read and written again; it goes on as it is.
    plain = {name: value for name, value in request.items() if not isinstance(value, bytes)}
    parts = [json.dumps(plain).encode()[:-1]]
    for name, value in request.items():
        if isinstance(value, bytes):
            parts += (f', "{name}": '.encode(), value)
    return b"".join((*parts, b"}"))


def fixed(dialect: Dialect) -> str:
    """Name a dialect the way the toolkit knows it."""
    # Which dialect AUTO means is decided in `compiler`; here it is the newer one.
    return Dialect.V1 if dialect is Dialect.AUTO else dialect
