"""One question to OPA's interpreter, to be compared with what the WebAssembly runtime answers."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, cast

from policy_server.builtins.call import Call, Memo
from policy_server.builtins.registry import Registry
from policy_server.compiler.compiler import FILE
from policy_server.model.policy import Dialect
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.toolkit.answers import Spelled
from policy_server.toolkit.toolkit import Toolkit

MAX_EVENTS: Final = 200_000
"""How many steps of an evaluation are traced; each costs about a kilobyte of the toolkit's memory."""

UNSTEADY: Final = frozenset(
    {"rand.intn", "uuid.rfc4122", "io.jwt.encode_sign", "io.jwt.encode_sign_raw", "http.send", "net.lookup_ip_addr"}
)
"""Functions that may answer differently the second time, so that two evaluations cannot be compared."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A policy and what it is asked; ``data`` and ``input`` are JSON text, ``now_ns`` is the time it sees."""

    rego: str
    dialect: Dialect
    query: str
    data: bytes | None = None
    input: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    now_ns: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What the interpreter answers: the value, the trace, the printed lines, and OPA's coverage report.

    Numbers of the value keep their digits (`policy_server.toolkit.answers.Spelled`).
    """

    value: Json | Undefined
    trace: str
    printed: tuple[str, ...]
    coverage: JsonObject | None


def interpret(
    toolkit: Toolkit, registry: Registry, asked: Asked, *, deadline: float, level: str = "off", coverage: bool = False,
    memo: Memo | None = None,
) -> Told:  # fmt: skip
    """Ask the interpreter, with these functions of the host.

    ``level`` is off, notes, fails or full; ``deadline`` is in seconds; ``memo`` has what
    functions answered to the same question before.

    Raises:
        EvaluationError: the evaluation failed, each way with its own class.
        ToolkitError: the toolkit is missing, wrong or broke.
    """
    answer = toolkit.eval(
        asked.query,
        {FILE: asked.rego},
        data=asked.data,
        input=UNDEFINED if asked.input is None else asked.input,
        dialect=asked.dialect,
        trace=level,
        trace_limit=MAX_EVENTS,
        spelled=True,
        coverage=coverage,
        now_ns=asked.now_ns,
        builtins=registry.declarations(),
        host=registry.host(Call(asked.headers, asked.now_ns, time.monotonic() + deadline, memo=memo)),
        deadline=deadline,
    )
    cut = f"(only the first {MAX_EVENTS} steps were traced)\n" if answer.get("trace_cut") else ""
    return Told(
        value_of(answer),
        f"{answer.get('trace_text') or ''}{cut}",
        printed_of(answer),
        # Percentages are plain numbers again.
        json.loads(json.dumps(answer.get("coverage"))),
    )


def value_of(answer: JsonObject) -> Json | Undefined:
    """Return the value of the first expression of a query."""
    results = cast("Sequence[Mapping[str, Sequence[Mapping[str, Json]]]]", answer["result"])
    return results[0]["expressions"][0]["value"] if results else UNDEFINED


def printed_of(answer: JsonObject) -> tuple[str, ...]:
    """Return the lines that an evaluation printed."""
    lines = cast("Sequence[Mapping[str, str]]", answer["print"])
    return tuple(line["message"] for line in lines)


def same(wasm: bytes | None, interpreter: Json | Undefined) -> bool:
    """Tell whether both answers are one value; 1 and 1.0 are the same number, null is not undefined."""
    if wasm is None or interpreter is UNDEFINED:
        return wasm is None and interpreter is UNDEFINED
    return _equal(json.loads(wasm, parse_float=Spelled), interpreter)


def _equal(one: Json, other: Json | Undefined) -> bool:
    # By hand, because for Python True is 1.
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return _exact(one) == _exact(other)
    return type(one) is type(other) and one == other


def _exact(number: float) -> Decimal:
    return Decimal(number.text if isinstance(number, Spelled) else number)


def written(value: Json | Undefined) -> str:
    """Return a value as JSON text with every digit of its numbers, or the word undefined."""
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, Spelled):
        return value.text
    if isinstance(value, dict):
        return (
            f"{{{','.join(f'{json.dumps(key, ensure_ascii=False)}:{written(each)}' for key, each in value.items())}}}"
        )
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    return json.dumps(value, ensure_ascii=False)
