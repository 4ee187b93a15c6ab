"""How a builtin says what it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Concatenate, Final, ParamSpec

from policy_server.builtins.call import Call
from policy_server.model.values import Json, JsonObject, Undefined

P = ParamSpec("P")

Result = Json | Undefined | frozenset[str]
"""What a builtin may answer; a frozenset of texts becomes a set."""

Type = str | JsonObject
"""A type in OPA's capability notation; a simple one may be given by its name."""


class OpaKnows(Exception):
    """The function leaves this question to OPA's own of the same name, in the toolkit."""


class OnFailure(StrEnum):
    """What a failing function of ours is for the policy.

    FAIL: undefined, or the end of the evaluation where that is strict. UNDEFINED: undefined
    everywhere. VALUE: ``{"error": {"code", "message"}}``, with ``status`` where a server answered.
    """

    FAIL = "fail"
    UNDEFINED = "undefined"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Builtin:
    """A Rego function that this process answers.

    ``args`` and ``result`` are types in OPA's capability notation.
    ``nondeterministic``: may answer differently each time, and is asked once an
    evaluation for the same arguments. ``blocking``: may wait for something, and
    must keep to ``Call.remaining``. ``known_to_opa``: OPA declares it already.
    ``verbatim``: takes its arguments and answers as Rego value text, and remembers
    for itself. ``available`` False: it only says why it cannot be called here, and
    compilers refuse it. ``changes``: does something elsewhere, which must happen once an
    evaluation however its arguments are spelled. ``memo`` False: asked anew each time,
    although its answers differ. ``on_failure``: what a failure is for the policy.
    """

    name: str
    args: tuple[JsonObject, ...]
    result: JsonObject
    function: Callable[..., Result | bytes]
    nondeterministic: bool = False
    blocking: bool = False
    known_to_opa: bool = False
    verbatim: bool = False
    available: bool = True
    changes: bool = False
    memo: bool = True
    on_failure: OnFailure = OnFailure.FAIL

    def declaration(self) -> JsonObject:
        """Return the entry for OPA's capabilities."""
        entry: dict[str, Json] = {
            "name": self.name,
            "decl": {"type": "function", "args": list(self.args), "result": self.result},
        }
        if self.nondeterministic:
            entry["nondeterministic"] = True
        return entry


def builtin(
    name: str,
    *,
    args: Sequence[Type] = (),
    result: Type,
    nondeterministic: bool = False,
    blocking: bool = False,
    known_to_opa: bool = False,
    verbatim: bool = False,
    changes: bool = False,
) -> Callable[[Callable[Concatenate[Call, P], Result | bytes]], Builtin]:
    """Declare the decorated function a builtin; it takes the Call, then JSON values.

    Sets arrive as sorted lists. It answers a JSON value, JSON text as bytes, a frozenset of texts, or
    UNDEFINED, or raises BuiltinFailed, which is recorded and read as undefined; or
    OpaKnows, where OPA has it too. With ``verbatim`` arguments and answer are Rego value text.
    """

    def declare(function: Callable[Concatenate[Call, P], Result | bytes]) -> Builtin:
        return Builtin(
            name,
            tuple(map(_type, args)),
            _type(result),
            function,
            nondeterministic=nondeterministic,
            blocking=blocking,
            known_to_opa=known_to_opa,
            verbatim=verbatim,
            changes=changes,
        )

    return declare


ANY: Final[JsonObject] = {"type": "any"}
"""The type of anything."""


OBJECT: Final[JsonObject] = {"type": "object", "dynamic": {"key": ANY, "value": ANY}}
"""The type of any object; one without ``dynamic`` would have no members."""

ARRAY: Final[JsonObject] = {"type": "array", "dynamic": ANY}
"""The type of any array."""


def _type(kind: Type) -> JsonObject:
    return {"type": kind} if isinstance(kind, str) else kind
