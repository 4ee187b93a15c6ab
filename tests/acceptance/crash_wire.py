"""Cuts what a server sends its database into requests, and names each: ``INSERT leases publish``.

Both databases get the same words, so that one list says what belongs to an
operation. Nothing is changed on the way.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import bson

_LEASES: Final = (b"publish:", b"refresh:", b"background", b"foreign")
_STATEMENT: Final = re.compile(rb"\s*(SELECT|INSERT|UPDATE|DELETE)\b(?:.*?\bFROM\b|\s+INTO\b)?\s+(\w+)", re.S)
_NESTED: Final = re.compile(rb"\([^()]*\)")
_VERBS: Final = {"find": "SELECT", "aggregate": "SELECT", "insert": "INSERT", "update": "UPDATE", "delete": "DELETE"}
_STARTUP: Final = frozenset({0x0003_0000, 0x0003_0002})


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent in one go and answered before the next."""

    raw: bytes
    label: str


class Reader(Protocol):
    """Cuts the bytes of one connection."""

    def take(self, raw: bytes) -> Iterator[Request]:
        """Yield the requests that are complete now."""


@dataclass
class PostgresReader:
    """PostgreSQL's protocol, without TLS."""

    _raw: bytes = b""
    _begun: bool = False
    _parts: list[bytes] = field(default_factory=list)
    _prepared: dict[bytes, str] = field(default_factory=dict)
    _last: str = ""

    def take(self, raw: bytes) -> Iterator[Request]:
        """Yield requests: a query, or everything up to a Sync."""
        self._raw += raw
        while (size := self._size()) and len(self._raw) >= size:
            message, self._raw = self._raw[:size], self._raw[size:]
            if not self._begun:
                self._begun = int.from_bytes(message[4:8]) in _STARTUP
                yield Request(message, "startup")
                continue
            self._parts.append(message)
            if message[:1] in b"QSXp":
                parts, self._parts = self._parts, []
                yield Request(b"".join(parts), self._label(parts))

    def _size(self) -> int:
        head = 1 if self._begun else 0
        if len(self._raw) < head + 4:
            return 0
        return head + int.from_bytes(self._raw[head : head + 4])

    def _label(self, parts: list[bytes]) -> str:
        label = self._named(parts)
        if label in {"COMMIT", "ROLLBACK"}:
            return f"{label} ({self._last})"
        self._last = label
        return label

    def _named(self, parts: list[bytes]) -> str:
        label = ""
        for message in parts:
            kind, body = message[:1], message[5:]
            if kind == b"Q":
                label = _sql(body)
            elif kind == b"P":
                name, _, query = body.partition(b"\0")
                label = self._prepared[name] = _sql(query)
            elif kind == b"B":
                label = self._prepared.get(body.split(b"\0", 2)[1], label)
        return f"{label} {_lease(b''.join(parts))}" if label.endswith(" leases") else label


def _sql(query: bytes) -> str:
    words = query.partition(b"\0")[0]
    if words.startswith(b"SELECT stamp FROM stamps"):
        return "turn" if b"FOR UPDATE" in words else "stamp"
    while (plain := _NESTED.sub(b"", words)) != words:
        words = plain
    found = _STATEMENT.match(words)
    return f"{found[1].decode()} {found[2].decode()}" if found else words.split()[0].decode() if words.split() else ""


@dataclass
class MongoReader:
    """MongoDB's protocol, not packed."""

    _raw: bytes = b""

    def take(self, raw: bytes) -> Iterator[Request]:
        """Yield messages."""
        self._raw += raw
        while len(self._raw) >= 4 and len(self._raw) >= (size := int.from_bytes(self._raw[:4], "little")):
            message, self._raw = self._raw[:size], self._raw[size:]
            yield Request(message, _command(message))


def _command(message: bytes) -> str:
    if int.from_bytes(message[12:16], "little") != 2013 or message[20] != 0:
        return "startup"
    size = int.from_bytes(message[21:25], "little")
    command, about = next(iter(bson.decode(message[21 : 21 + size]).items()))
    if command not in _VERBS:
        return command
    verb, noun = _VERBS[command], str(about).removeprefix("policy_server_")
    if noun == "leases":
        return f"{verb} leases {_lease(message)}"
    if noun == "events" and b"$setOnInsert" in message:
        return "INSERT events"
    return f"{verb} {noun}"


def _lease(raw: bytes) -> str:
    return next((name.rstrip(b":").decode() for name in _LEASES if name in raw), "")
