"""Texts and JSON values with places for arguments: ``{name}``."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json
from policy_server.wasm.strict import written

PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

VARIABLE: Final = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_EITHER: Final = re.compile(f"{VARIABLE.pattern}|{PLACE.pattern}")


def places(value: object) -> Iterator[str]:
    """Yield the names that stand in a text, or in the texts of a JSON value."""
    if isinstance(value, str):
        yield from PLACE.findall(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from places(each)
    elif isinstance(value, list):
        for each in value:
            yield from places(each)


def filled_text(
    template: str,
    arguments: Mapping[str, Json],
    write: Callable[[str], str] = str,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Put arguments, and ``variables`` (``{env:NAME}``), into a text; ``write`` spells each argument.

    SECURITY: in one pass, so that nothing an argument says is taken for a place.
    BuiltinFailed for an argument that is no scalar.
    """

    def one(found: re.Match[str]) -> str:
        if found[1] is not None:
            return variables.get(found[1], found[0])
        return write(spelled(found[2], arguments[found[2]]))

    return _EITHER.sub(one, template)


def filled(template: Json, arguments: Mapping[str, Json]) -> Json:
    """Put arguments into a JSON value: a text that is one place becomes the argument itself."""
    if isinstance(template, str):
        alone = PLACE.fullmatch(template)
        return arguments[alone[1]] if alone is not None else filled_text(template, arguments)
    if isinstance(template, Mapping):
        return {name: filled(each, arguments) for name, each in template.items()}
    if isinstance(template, list):
        return [filled(each, arguments) for each in template]
    return template


def filled_url(template: str, arguments: Mapping[str, Json]) -> str:
    """Put arguments into path and query of an address, escaped.

    SECURITY: an argument never adds, removes or climbs a segment; BuiltinFailed where it would.
    """
    url = filled_text(template, arguments, lambda text: quote(text, safe="", errors="replace"))
    segments = urlsplit(url).path.split("/")[1:]
    expected = urlsplit(template).path.split("/")[1:]
    for segment, given in zip(segments, expected, strict=True):
        if segment in {".", ".."} or (given and not unquote(segment).strip()):
            raise BuiltinFailed("an argument that stands in the address is empty, or no name", code="argument")
    return url


def spelled(name: str, value: Json) -> str:
    """Write a scalar as text; BuiltinFailed for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BuiltinFailed(f"{name} must be a string, a number or a boolean to stand in a text", code="argument")


def pointer(text: str) -> tuple[str, ...]:
    """Take a JSON pointer (RFC 6901) apart; ValueError when it is none."""
    if text and not text.startswith("/"):
        raise ValueError("a JSON pointer such as /data/0/name, or empty")
    if re.search(r"~(?![01])", text):
        raise ValueError("a JSON pointer, in which ~ is written ~0")
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in text.split("/")[1:])


def pointed(value: Json, path: Collection[str]) -> Json:
    """Return what lies at a JSON pointer; KeyError when nothing does."""
    for name in path:
        if isinstance(value, Mapping):
            value = value[name]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise KeyError(name)
    return value


def key_of(name: str, arguments: Mapping[str, Json]) -> bytes:
    """Return what tells one question to a function from another."""
    return written([name, json.dumps(arguments, sort_keys=True)])
