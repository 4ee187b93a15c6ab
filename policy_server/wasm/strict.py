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


def check(text: bytes) -> None:
    """Refuse what is not exactly one JSON document; InvalidJson.

    The module would answer broken JSON with undefined input and no error, take
    set literals and trailing garbage, abort on lone surrogates and invalid UTF-8,
    and trap on deep nesting. The text itself goes on unchanged: orjson's numbers
    are not exact, its verdict is.
    """
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"This is not valid JSON: {error}") from None


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
    check(text)
    return text


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
