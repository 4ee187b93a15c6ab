"""An operator's own function: a question to an HTTP server, described in a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from policy_server.builtins.call import Call
from policy_server.builtins.declare import Builtin, OnFailure
from policy_server.builtins.template import filled, filled_text, filled_url, key_of, pointed
from policy_server.builtins.waiting import asked
from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.neighbours.link import Link, header_value, json_text
from policy_server.net.caching import AnswerCache, Kept
from policy_server.net.outgoing import Incoming
from policy_server.wasm.strict import read

_READS: Final = frozenset({"GET", "HEAD"})
_SHAPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a function asks, and what it makes of the answer.

    ``target`` is the part of the address after the host, with ``{argument}`` places;
    ``headers`` may have such places, and ``{env:NAME}`` for one of ``variables``;
    ``body`` a JSON value with such places, None for no body. ``response`` is the JSON pointer
    to the result, ``lenient``: undefined where it leads nowhere. Times are in seconds.
    """

    name: str
    args: Mapping[str, JsonObject]
    result: JsonObject
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: Json
    has_body: bool
    ok: frozenset[int]
    response: tuple[str, ...]
    lenient: bool
    timeout: float
    cache: float
    memo: bool
    bearer: bool
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_failure: OnFailure | None = None


class Asking:
    """The function behind an adapter; safe for threads."""

    def __init__(self, adapter: Adapter, link: Link, cache: AnswerCache) -> None:
        """Take the line to its server, and where answers are kept across evaluations."""
        self._adapter = adapter
        self._link = link
        self._cache = cache

    def __call__(self, call: Call, *args: Json) -> Json | bytes | Undefined:
        """Ask, or answer from what is kept; BuiltinFailed, EvaluationTimeout."""
        arguments = dict(zip(self._adapter.args, args, strict=True))
        if not self._adapter.cache:
            return self._result(self._asked(call, arguments))
        key = key_of(self._adapter.name, arguments)
        now = call.now_ns / 1e9
        kept = self._cache.get(key)
        if kept is not None and now < kept.fresh_until:
            return self._result(kept.answer.body)
        text = self._asked(call, arguments)
        found = self._result(text)
        self._cache.put(key, Kept(Incoming(200, "", (), text), now + self._adapter.cache))
        return found

    def _asked(self, call: Call, arguments: Mapping[str, Json]) -> bytes:
        adapter = self._adapter
        target = filled_url(adapter.target, arguments)
        headers = {
            name: header_value(filled_text(value, arguments, variables=adapter.variables), f"the header {name}")
            for name, value in adapter.headers.items()
        }
        body = None
        if adapter.has_body:
            body = json_text(filled(adapter.body, arguments))
            headers = {"Content-Type": "application/json", **headers}
        reply = asked(
            call,
            lambda seconds: self._link.ask(
                adapter.method, target, seconds=seconds, body=body, headers=headers, ok=adapter.ok, token=adapter.bearer
            ),
        )
        return self._link.json(reply)

    def _result(self, text: bytes) -> Json | bytes | Undefined:
        adapter = self._adapter
        value = read(text)
        if adapter.response:
            try:
                value = pointed(value, adapter.response)
            except KeyError:
                if adapter.lenient:
                    return UNDEFINED
                raise BuiltinFailed(
                    f"the answer of {self._link.name} has nothing at the pointer of `response`", code="answer"
                ) from None
        wanted = _SHAPES.get(str(adapter.result.get("type")))
        if wanted is not None and type(value) not in wanted:
            raise BuiltinFailed(f"{self._link.name} did not answer {adapter.result['type']}", code="answer")
        # As it came, so that numbers keep their spelling.
        return value if adapter.response else text


def adapted(adapter: Adapter, link: Link, cache: AnswerCache) -> Builtin:
    """Return the function of an adapter."""
    return Builtin(
        adapter.name,
        tuple(adapter.args.values()),
        adapter.result,
        Asking(adapter, link, cache),
        nondeterministic=True,
        blocking=True,
        changes=adapter.method not in _READS and adapter.memo,
        memo=adapter.memo,
        on_failure=adapter.on_failure or OnFailure.FAIL,
    )
