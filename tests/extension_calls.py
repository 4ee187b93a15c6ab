"""Extension functions, asked as a module asks them."""

import json
import time
from collections.abc import Mapping
from typing import Any

from policy_server.builtins.call import Call
from policy_server.builtins.extensions import Extensions, extension_functions
from policy_server.builtins.registry import Registry


def new_call(*, seconds: float = 20.0, strict: bool = True, now: float = 1_700_000_000.0) -> Call:
    """Return an evaluation with so much time, at a time of its own."""
    return Call({}, int(now * 1e9), time.monotonic() + seconds, strict=strict)


class Extended:
    """The functions of one installation."""

    def __init__(self, **options: Any) -> None:
        self.builtins = {each.name: each for each in extension_functions(Extensions(**options))}
        registry = Registry(tuple(self.builtins.values()))
        self._functions = registry.functions(dict(enumerate(self.builtins)))
        self._numbers: Mapping[str, int] = {name: number for number, name in enumerate(self.builtins)}

    def text(self, name: str, *args: bytes, call: Call | None = None) -> bytes | None:
        """Call a function with Rego texts; return Rego text, None for undefined."""
        return self._functions[self._numbers[name]](call or new_call(), args)

    def __call__(self, name: str, *args: object, call: Call | None = None) -> Any:
        """Call a function with JSON values in a strict evaluation; return a JSON value."""
        found = self.text(name, *(json.dumps(each).encode() for each in args), call=call)
        return None if found is None else json.loads(found)
