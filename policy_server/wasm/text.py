"""Rego value text, as OPA's modules write it, and what becomes of it.

The text is JSON plus sets (``{1, 2}``, ``set()``), keys of any type, and numbers
as they were spelled (``.0``, ``1.50``). Converting keeps every digit, sorts
object keys and sets, and writes other keys as their JSON text, as OPA does.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

import orjson

from policy_server.model.errors import EvaluationAborted

_SORTED: Final = orjson.OPT_SORT_KEYS
_SURE: Final = frozenset([b"true", b"false", b"null"])

_RISKY: Final = re.compile(rb"[0-9]{16}|[0-9][.eE]|\.[0-9]|-0")
"""Finds what may be a number that a double cannot hold or would spell otherwise (strings included)."""

_NUMBERS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([-+.0-9][-+.0-9eE]*)', re.DOTALL)
"""Finds the numbers: strings match without a group."""

_TOKEN: Final = re.compile(
    rb"[ \t\r\n]*(?:"
    rb'("[^"\\]*(?:\\.[^"\\]*)*")'
    rb"|([-+.0-9][-+.0-9eE]*)"
    rb"|(null|true|false)"
    rb"|(set\(\))"
    rb"|([{}\[\],:]))",
    re.DOTALL,
)
_STRING, _NUMBER, _WORD, _EMPTY_SET, _MARK = range(1, 6)
_WORDS: Final = {b"null": None, b"true": True, b"false": False}

_SPELLING: Final = re.compile(r"([-+]?)([0-9]*)(\.?)([0-9]*)((?:[eE][-+]?[0-9]+)?)")


class Number(str):
    """A number as it was spelled."""

    __slots__ = ()


class RegoSet(NamedTuple):
    """A set, in the order it was written."""

    members: list["Value"]


class RegoObject(NamedTuple):
    """An object, in the order it was written; keys may have any type."""

    pairs: list[tuple["Value", "Value"]]


Value = None | bool | Number | str | list["Value"] | RegoSet | RegoObject
"""A parsed Rego value."""


def to_json(text: bytes) -> bytes:
    """Convert value text to compact JSON with sorted keys.

    Raises:
        EvaluationAborted: it is not value text, or nested too deeply.
    """
    # PERF: orjson's verdict decides. It refuses sets, odd keys, odd numbers and
    # invalid UTF-8; what it accepts it may only have spoiled in numbers. 1 µs for
    # a small object, where the parser below takes 15.
    if text in _SURE:
        return text
    try:
        value = orjson.loads(text)
        if _RISKY.search(text) is None or _exact(text):
            return orjson.dumps(value, option=_SORTED)
    except (orjson.JSONDecodeError, TypeError):
        pass  # TypeError: nested deeper than orjson writes
    return write(parse(text))


def parse(text: bytes) -> Value:
    """Parse value text; EvaluationAborted when it is none."""
    try:
        return _whole(text)
    except ValueError as error:
        raise EvaluationAborted("The module wrote a result that is not Rego.") from error
    except RecursionError as error:
        raise EvaluationAborted("The result is nested too deeply.") from error


def write(value: Value) -> bytes:
    """Write a value as compact JSON; EvaluationAborted when it is nested too deeply."""
    pieces: list[bytes] = []
    try:
        _write(value, pieces.append)
    except RecursionError as error:
        raise EvaluationAborted("The result is nested too deeply.") from error
    return b"".join(pieces)


def _exact(text: bytes) -> bool:
    for token in _NUMBERS.findall(text):
        if token and (len(token) > 15 or not token.isdigit()) and orjson.dumps(orjson.loads(token)) != token:
            return False
    return True


def _next(text: bytes, at: int) -> tuple[int, bytes, int]:
    found = _TOKEN.match(text, at)
    if found is None or found.lastindex is None:
        raise ValueError
    return found.lastindex, found[found.lastindex], found.end()


def _whole(text: bytes) -> Value:
    value, end = _value(text, *_next(text, 0))
    if text[end:].strip(b" \t\r\n"):
        raise ValueError
    return value


def _value(text: bytes, kind: int, token: bytes, at: int) -> tuple[Value, int]:
    if kind == _STRING:
        return _string(token), at
    if kind == _NUMBER:
        return _number(token), at
    if kind == _WORD:
        return _WORDS[token], at
    if kind == _EMPTY_SET:
        return RegoSet([]), at
    if token == b"[":
        return _array(text, at)
    if token == b"{":
        return _braces(text, at)
    raise ValueError


def _array(text: bytes, at: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    kind, token, at = _next(text, at)
    if token == b"]" and kind == _MARK:
        return items, at
    while True:
        item, at = _value(text, kind, token, at)
        items.append(item)
        kind, token, at = _next(text, at)
        if token == b"]" and kind == _MARK:
            return items, at
        if token != b",":
            raise ValueError
        kind, token, at = _next(text, at)


def _braces(text: bytes, at: int) -> tuple[Value, int]:
    kind, token, at = _next(text, at)
    if token == b"}" and kind == _MARK:
        return RegoObject([]), at
    members: list[Value] = []
    pairs: list[tuple[Value, Value]] = []
    while True:
        item, at = _value(text, kind, token, at)
        kind, token, at = _next(text, at)
        if token == b":" and not members:
            value, at = _value(text, *_next(text, at))
            pairs.append((item, value))
            kind, token, at = _next(text, at)
        elif pairs:
            raise ValueError
        else:
            members.append(item)
        if token == b"}" and kind == _MARK:
            return (RegoObject(pairs) if pairs else RegoSet(members)), at
        if token != b",":
            raise ValueError
        kind, token, at = _next(text, at)


def _string(token: bytes) -> str:
    try:
        found = orjson.loads(token)
    except orjson.JSONDecodeError:
        # Bytes that are no UTF-8 become one U+FFFD each, as in Go; if that was not
        # the reason, this raises ValueError.
        found = orjson.loads(_replaced(token))
    return str(found)


def _replaced(token: bytes) -> str:
    pieces = []
    while True:
        try:
            pieces.append(token.decode())
            return "".join(pieces)
        except UnicodeDecodeError as error:
            pieces += [token[: error.start].decode(), "\ufffd" * (error.end - error.start)]
            token = token[error.end :]


def _number(token: bytes) -> Number:
    spelled = _SPELLING.fullmatch(token.decode())
    if spelled is None or not (spelled[2] or spelled[4]):
        raise ValueError
    sign, whole, point, fraction, exponent = spelled.groups()
    whole = whole.lstrip("0") or "0"
    return Number(f"{sign.strip('+')}{whole}{point and '.' + (fraction or '0')}{exponent}")


def _write(value: Value, put: Callable[[bytes], None]) -> None:
    if isinstance(value, Number):
        put(value.encode())
    elif isinstance(value, RegoObject):
        _write_object(value, put)
    elif isinstance(value, RegoSet):
        _write_array(sorted(value.members, key=order) if len(value.members) > 1 else value.members, put)
    elif isinstance(value, list):
        _write_array(value, put)
    else:
        put(orjson.dumps(value))


def _write_array(items: list[Value], put: Callable[[bytes], None]) -> None:
    put(b"[")
    for index, item in enumerate(items):
        if index:
            put(b",")
        _write(item, put)
    put(b"]")


def _write_object(value: RegoObject, put: Callable[[bytes], None]) -> None:
    pairs = value.pairs
    if any(type(key) is not str for key, _ in pairs):
        # 1 and "1" become the same key; like in OPA the later one in Rego order stays.
        pairs = sorted(pairs, key=lambda pair: order(pair[0]))
    named = {key if type(key) is str else write(key).decode(): item for key, item in pairs}
    put(b"{")
    for index, key in enumerate(sorted(named)):
        put(b"," + orjson.dumps(key) + b":" if index else orjson.dumps(key) + b":")
        _write(named[key], put)
    put(b"}")


def order(value: Value) -> tuple[object, ...]:
    """Return what Rego sorts by: null < false < true < numbers < strings < arrays < objects < sets."""
    if value is None or isinstance(value, bool):
        return (0 if value is None else 2 if value else 1,)
    if isinstance(value, Number):
        return (3, _decimal(value))
    if isinstance(value, str):
        return (4, value)
    if isinstance(value, RegoObject):
        return (6, sorted((order(key), order(item)) for key, item in value.pairs))
    if isinstance(value, RegoSet):
        return (7, sorted(map(order, value.members)))
    return (5, list(map(order, value)))


def _decimal(value: Number) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        # Its exponent has more digits than Decimal takes.
        if "e-" in value.lower():
            return Decimal(0)
        return Decimal("-Infinity" if value.startswith("-") else "Infinity")
