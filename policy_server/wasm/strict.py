"""Strict JSON, because modules read far more than that without a word."""

import json
import re
from typing import Final, cast

import orjson

from policy_server.model.errors import InvalidJson
from policy_server.model.values import Json

_OBJECT: Final = ord("{")
_LONG: Final = re.compile(rb"[0-9]{19}")
"""Finds integers that may be beyond 64 bits, which orjson would read as float."""


_ESCAPE: Final = re.compile(rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)
"""Finds every escape, so that an escaped backslash is never taken for the start of one."""


def strict(text: bytes) -> bytes:
    """Return JSON text as a module reads it; InvalidJson when it is not exactly one document.

    The module would answer broken JSON with undefined input and no error, take
    set literals and trailing garbage, abort on lone surrogates and invalid UTF-8,
    and trap on deep nesting. orjson's numbers are not exact, so its verdict is
    taken and the text goes on as it is, except for escaped characters beyond
    U+FFFF, which the module misreads from U+20000 on (the escapes of U+20000 as U+10000).
    """
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"This is not valid JSON: {error}") from None
    if b"\\ud" in text or b"\\uD" in text:
        return _ESCAPE.sub(_unescaped, text)
    return text


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return found[0]
    return chr(0x10000 + ((int(found[1], 16) - 0xD800) << 10) + int(found[2], 16) - 0xDC00).encode()


def is_object(text: bytes) -> bool:
    """Tell whether valid JSON is an object."""
    # PERF: nearly always the first byte decides; lstrip would copy the text.
    return text[0] == _OBJECT or text[:64].lstrip()[:1] == b"{" or text.lstrip()[:1] == b"{"


def read(text: bytes) -> Json:
    """Read valid JSON; integers of any size stay exact."""
    if _LONG.search(text) is None:
        return cast("Json", orjson.loads(text))
    return cast("Json", json.loads(text))


def written(value: Json) -> bytes:
    """Write a value as JSON text; InvalidJson when it has none."""
    try:
        return orjson.dumps(value)
    except TypeError as refused:
        # Integers beyond 64 bits and deep nesting; anything else is refused again.
        try:
            _check_keys(value)
            text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise InvalidJson(f"This value has no JSON: {refused}") from refused
    return strict(text)


def _check_keys(value: Json) -> None:
    # json.dumps would turn other keys into strings.
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError
        for member in value.values():
            _check_keys(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            _check_keys(member)
