"""Which builtins there are, and who answers them."""

import importlib
import json
import pkgutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, cast

import orjson

from policy_server import builtins as room
from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, OnFailure, OpaKnows
from policy_server.builtins.opa import EXACT, NAMES, NETWORK, STRICT, TWINS, OpaFunctions
from policy_server.model.errors import BuiltinFailed, PolicyServerError, ToolkitMissing, UnknownBuiltin
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.toolkit.toolkit import Toolkit
from policy_server.tracing.spans import around
from policy_server.wasm.text import Value, parse, to_json, write

Answer = Callable[[Call, Sequence[bytes]], bytes | None]
"""Answers one function: arguments and result are Rego value text, None is undefined."""

_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "set": (list,),
    "object": (dict,),
}
_WORDS: Final = {str: "string", int: "number", float: "number", bool: "boolean", list: "array", dict: "object"}


_REMEDY: Final = "run scripts/setup, or policy-server toolkit build"


class Registry:
    """The functions of this process, by name, and behind them OPA's own in the toolkit."""

    def __init__(self, builtins: Sequence[Builtin], toolkit: Toolkit | None = None) -> None:
        """Take what was found; ``discover`` finds it."""
        self._builtins = {each.name: each for each in builtins}
        self._opa = None if toolkit is None else OpaFunctions(toolkit)

    @classmethod
    def discover(
        cls, extra: Mapping[str, Callable[..., Json | Undefined]] | None = None, *, made: Sequence[Builtin] = ()
    ) -> "Registry":
        """Find every builtin declared in a module of this room.

        ``made`` are those that had to be made from settings. ``extra`` adds plain
        functions by name, before all others: they take the arguments as JSON values
        and answer a JSON value or UNDEFINED.
        """
        found: list[Builtin] = []
        for each in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            module = importlib.import_module(each.name)
            found += [value for value in vars(module).values() if isinstance(value, Builtin)]
        found += made
        found += [Builtin(name, (), ANY, partial(_without_call, function)) for name, function in (extra or {}).items()]
        return cls(found)

    def bind(self, toolkit: Toolkit | None) -> "Registry":
        """Return the same functions with the toolkit behind them."""
        return Registry(tuple(self._builtins.values()), toolkit)

    def without(self, names: Collection[str], reason: str) -> "Registry":
        """Return the same functions, of which these fail with a reason when they are called."""
        registry = Registry([refusing(each, reason) if each.name in names else each for each in self.builtins()])
        registry._opa = self._opa
        return registry

    def names(self) -> frozenset[str]:
        """Return every function that would be answered, the toolkit's included where it is bound.

        Twins of functions that WebAssembly has itself are not named: a module is loaded without
        the toolkit too, and misses it only where a twin is really called.
        """
        return frozenset(self._builtins) | (NAMES if self._opa is not None else frozenset())

    def declarations(self) -> tuple[JsonObject, ...]:
        """Return capability entries for the functions that OPA does not know, ordered by name."""
        ours = (each for each in self._builtins.values() if not each.known_to_opa)
        return tuple(each.declaration() for each in sorted(ours, key=lambda each: each.name))

    def unavailable(self) -> frozenset[str]:
        """Return the functions of OPA that nobody here can answer, for a compiler to refuse."""
        refused = {each.name for each in self._builtins.values() if not each.available}
        return (NETWORK - self._builtins.keys()) | refused

    def builtins(self) -> tuple[Builtin, ...]:
        """Return what this process declares, ordered by name; for listings."""
        return tuple(sorted(self._builtins.values(), key=lambda each: each.name))

    def functions(self, needed: Mapping[int, str]) -> Mapping[int, Answer]:
        """Return the functions a module needs, by its ids.

        Raises:
            UnknownBuiltin: for those that nobody answers, naming them.
        """
        missing = sorted(set(needed.values()) - self.names() - TWINS)
        if missing:
            raise UnknownBuiltin(_explain(missing))
        return {number: self._function(name) for number, name in needed.items()}

    def host(self, call: Call) -> Callable[[str, bytes], bytes | None]:
        """Return the same functions for the toolkit's interpreter: name and JSON array in, JSON out."""

        def answer(name: str, args: bytes) -> bytes | None:
            if name not in self._builtins:
                raise BuiltinFailed(f"{name}: {_explain([name])}")
            return self._function(name)(call, _separate(args))

        return answer

    def _function(self, name: str) -> Answer:
        ours = self._builtins.get(name.removeprefix(EXACT))
        if ours is not None:
            return _adapt(ours, None if self._opa is None else self._opa.function(name))
        if self._opa is None:  # a twin; `functions` has refused all others
            return partial(_absent, name)
        return self._opa.function(name)


def _without_call(function: Callable[..., Json | Undefined], _: Call, *args: Json) -> Json | Undefined:
    return function(*args)


def refusing(ours: Builtin, reason: str) -> Builtin:
    """Return a builtin of the same name that fails with a reason whenever it is called."""

    def refuse(*_: object) -> Undefined:
        raise BuiltinFailed(reason)

    return replace(ours, function=refuse, available=False)


def _separate(args: bytes) -> list[bytes]:
    """Take a JSON array apart, keeping how its numbers are spelled."""
    return [write(each) for each in cast("list[Value]", parse(args))]


def _explain(missing: Sequence[str]) -> str:
    text = f"The module calls {', '.join(missing)}, which this server does not have."
    if not NAMES.isdisjoint(missing):
        text += f" OPA's toolkit answers such functions, and it is not here: {_REMEDY}."
    return text


def _absent(name: str, call: Call, _: Sequence[bytes]) -> bytes | None:
    if name.startswith(STRICT) and not call.strict:
        return None
    raise ToolkitMissing(
        f"{name.removeprefix(EXACT).removeprefix(STRICT)} needs OPA's toolkit, which is not here; {_REMEDY}."
    )


def _adapt(ours: Builtin, opas: Answer | None) -> Answer:
    """Put JSON values in and out, operand checks, and the memo around a Python function."""
    name, once = ours.name, ours.nondeterministic and ours.memo and not ours.verbatim
    # Functions that wait for nobody take too little time to be told apart.
    function = around(name, ours.function) if ours.blocking else ours.function
    wanted = tuple(_PYTHON.get(str(each.get("type"))) for each in ours.args)

    def compute(call: Call, args: Sequence[bytes]) -> bytes | None:
        try:
            if ours.verbatim:
                found = function(call, *args)
            else:
                values = [_decode(each) for each in args]
                _check(ours, wanted, values)
                found = function(call, *values)
            return None if found is UNDEFINED else _encode(found)
        except BuiltinFailed as error:
            return _failed(ours, call, error)
        except OpaKnows:
            if opas is not None:
                return opas(call, args)
            call.fail(BuiltinFailed(f"{name}: this takes OPA's toolkit, which is not here; {_REMEDY}."))
            return None
        except PolicyServerError:
            raise
        except Exception as error:
            # A function of an embedding program may raise anything; only our own
            # family may leave, and an answer must not be guessed.
            raise BuiltinFailed(f"{name} raised {type(error).__name__}.") from error

    def remember(call: Call, args: Sequence[bytes]) -> bytes | None:
        key = (name, *(map(_canonical, args) if ours.changes else args))
        if key not in call.memo:
            call.memo[key] = compute(call, args)
        return call.memo[key]

    return remember if once else compute


def _failed(ours: Builtin, call: Call, error: BuiltinFailed) -> bytes | None:
    """Return what a failure is for the policy; BuiltinFailed where it ends the evaluation."""
    told = BuiltinFailed(f"{ours.name}: {error.message}", code=error.code, answered=error.answered)
    if ours.on_failure is OnFailure.VALUE:
        about: dict[str, Json] = {"code": error.code, "message": error.message}
        if error.answered:
            about["status"] = error.answered
        return _encode({"error": about})
    if ours.on_failure is OnFailure.UNDEFINED:
        call.note(told)
    else:
        call.fail(told)
    return None


def _canonical(text: bytes) -> bytes:
    """Write an argument in one way, so that the module and the interpreter ask the same question."""
    return json.dumps(_decode(text), sort_keys=True).encode()


def _check(ours: Builtin, wanted: Sequence[tuple[type, ...] | None], values: Sequence[Json]) -> None:
    for index, (types, value) in enumerate(zip(wanted, values, strict=False)):
        if types is not None and type(value) not in types:
            kind = ours.args[index]["type"]
            wrong = f"operand {index + 1} must be {kind} but got {_WORDS.get(type(value), 'null')}"
            raise BuiltinFailed(wrong, code="argument")


def _decode(text: bytes) -> Json:
    # PERF: one string is what nearly every call carries.
    if text[:1] == b'"':
        try:
            return orjson.loads(text)  # type: ignore[no-any-return]  # orjson is untyped here
        except orjson.JSONDecodeError:
            pass
    return json.loads(to_json(text))  # type: ignore[no-any-return]  # exact integers; json is untyped


def _encode(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, frozenset):
        return b"{" + b",".join(map(orjson.dumps, sorted(value))) + b"}" if value else b"set()"
    try:
        text = orjson.dumps(value)
    except TypeError:
        text = b"null"  # integers beyond 64 bits; what is no JSON fails again
    if b"null" not in text:
        return text
    # ValueError: orjson writes null for what is no number.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
