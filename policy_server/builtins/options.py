"""Reads the object of options that a function takes."""

from collections.abc import Collection, Mapping
from typing import Final

from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject

TEXT: Final = "a text"
TEXTS: Final = "a list of texts"
NUMBER: Final = "a number that is not negative"
OBJECT: Final = "an object"
ANY: Final = "anything"


def check_options(options: JsonObject, kinds: Mapping[str, str], *, needed: Collection[str] = ()) -> None:
    """Compare options with the members there are; ``kinds`` says what each must be.

    Raises:
        BuiltinFailed: code ``argument``: an unknown member (the known ones are named), one that is missing,
            or one of another kind.
    """
    unknown = sorted(set(options) - set(kinds))
    if unknown:
        raise _wrong(f"there is no option {unknown[0]!r}, only {', '.join(sorted(kinds))}")
    missing = sorted(set(needed) - set(options))
    if missing:
        raise _wrong(f"the option {missing[0]} is missing")
    for name, value in options.items():
        if not _is(value, kinds[name]):
            raise _wrong(f"the option {name} must be {kinds[name]}")
        if name in needed and value == "":
            raise _wrong(f"the option {name} is empty")


def _is(value: Json, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == TEXTS:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind == NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return kind == ANY or isinstance(value, dict)


def _wrong(message: str) -> BuiltinFailed:
    return BuiltinFailed(message, code="argument")
