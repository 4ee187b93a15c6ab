"""Rego value text, as OPA's modules write it, and what becomes of it.

The text is JSON plus sets (``{1, 2}``, ``set()``), keys of any type, and numbers
as they were spelled (``.0``, ``1.50``). Converting keeps every digit, sorts
object keys and sets, and writes other keys as their JSON text, as OPA does.
"""

import re
from collections.abc import Iterator
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
    """Parse value text, however deep it nests; EvaluationAborted when it is none."""
    try:
        return _parse(text)
    except ValueError as error:
        raise EvaluationAborted("The module wrote a result that is not Rego.") from error


def write(value: Value) -> bytes:
    """Write a value as compact JSON; EvaluationAborted when what it sorts nests too deeply."""
    try:
        return _write(value)
    except RecursionError as error:
        raise EvaluationAborted("The result has sets that nest too deeply.") from error


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


class _Open:
    """A container whose end has not been read."""

    __slots__ = ("_is_array", "_key", "_keyed", "_members", "_pairs", "fresh")

    def __init__(self, mark: bytes) -> None:
        self.fresh = True
        self._is_array = mark == b"["
        self._members: list[Value] = []
        self._pairs: list[tuple[Value, Value]] = []
        self._keyed: bool | None = False if self._is_array else None
        self._key: tuple[Value] | None = None

    def take(self, value: Value, mark: bytes) -> bool:
        """Take a value and the mark after it; tell whether that was the end."""
        self.fresh = False
        if mark == b":":
            if self._keyed is False or self._key is not None:
                raise ValueError
            self._keyed, self._key = True, (value,)
            return False
        if self._key is not None:
            self._pairs.append((self._key[0], value))
            self._key = None
        elif self._keyed:
            raise ValueError
        else:
            self._members.append(value)
            self._keyed = False
        return mark != b"," and self.ends(mark)

    def ends(self, mark: bytes) -> bool:
        if mark != (b"]" if self._is_array else b"}"):
            raise ValueError
        return True

    def value(self) -> Value:
        if self._is_array:
            return self._members
        return RegoSet(self._members) if self._members else RegoObject(self._pairs)


def _parse(text: bytes) -> Value:
    stack: list[_Open] = []
    at = 0
    while True:
        kind, token, at = _next(text, at)
        if kind == _MARK and token in (b"[", b"{"):
            stack.append(_Open(token))
            continue
        if kind != _MARK:
            value = _scalar(kind, token)
        elif stack and stack[-1].fresh and stack[-1].ends(token):
            value = stack.pop().value()
        else:
            raise ValueError
        while stack:
            kind, token, at = _next(text, at)
            if kind != _MARK:
                raise ValueError
            if not stack[-1].take(value, token):
                break
            value = stack.pop().value()
        else:
            if text[at:].strip(b" \t\r\n"):
                raise ValueError
            return value


def _scalar(kind: int, token: bytes) -> Value:
    if kind == _STRING:
        return _string(token)
    if kind == _NUMBER:
        return _number(token)
    return RegoSet([]) if kind == _EMPTY_SET else _WORDS[token]


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


def _write(value: Value) -> bytes:
    pieces: list[bytes] = []
    # What is open: the members still to write, each with what goes before it, and the end.
    stack: list[tuple[Iterator[tuple[bytes, Value]], bytes]] = [(iter([(b"", value)]), b"")]
    while stack:
        members, end = stack[-1]
        for before, member in members:
            pieces.append(before)
            if isinstance(member, RegoObject):
                pieces.append(b"{")
                stack.append((_named(member), b"}"))
                break
            if isinstance(member, (list, RegoSet)):
                pieces.append(b"[")
                stack.append((_listed(member), b"]"))
                break
            pieces.append(member.encode() if isinstance(member, Number) else orjson.dumps(member))
        else:
            pieces.append(end)
            stack.pop()
    return b"".join(pieces)


def _listed(value: "list[Value] | RegoSet") -> Iterator[tuple[bytes, Value]]:
    members = value if isinstance(value, list) else value.members
    if isinstance(value, RegoSet) and len(members) > 1:
        members = sorted(members, key=order)
    return ((b"," if index else b"", member) for index, member in enumerate(members))


def _named(value: RegoObject) -> Iterator[tuple[bytes, Value]]:
    pairs = value.pairs
    if any(type(key) is not str for key, _ in pairs):
        # 1 and "1" become the same key; like in OPA the later one in Rego order stays.
        pairs = sorted(pairs, key=lambda pair: order(pair[0]))
    named = {key if type(key) is str else _write(key).decode(): member for key, member in pairs}
    for index, key in enumerate(sorted(named)):
        yield b"," + orjson.dumps(key) + b":" if index else orjson.dumps(key) + b":", named[key]


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
