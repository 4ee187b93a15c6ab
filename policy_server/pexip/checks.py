"""Building blocks of the guard: what one value of an answer must look like."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policy_server.model.values import Json, JsonObject

TEXT_LIMIT: Final = 250
"""No text in an answer may be longer; nobody knows what Pexip does with it then."""


class Severity(StrEnum):
    """ERROR: Pexip would drop or misread the answer. WARNING: probably not what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which an answer is not what Pexip accepts.

    ``code`` is stable (P01…P12). ``field`` says where, dotted, "" for the whole
    answer. ``message`` never holds a PIN or password.
    """

    code: str
    field: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Write it as one line for logs."""
        return f"{self.code} {self.field}: {self.message}" if self.field else f"{self.code} {self.message}"


Check = Callable[[str, Json], Iterator[Violation]]
"""Takes where and what; yields what is wrong with it."""


def error(code: str, field: str, message: str) -> Violation:
    """Make a violation that costs the answer."""
    return Violation(code, field, message)


def warning(code: str, field: str, message: str) -> Violation:
    """Make a violation that is only reported."""
    return Violation(code, field, message, Severity.WARNING)


def quote(value: Json) -> str:
    """Show a value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def kind_of(value: Json) -> str:
    """Name the JSON type of a value."""
    names = (
        (type(None), "null"),
        (bool, "a boolean"),
        (int | float, "a number"),
        (str, "text"),
        (Mapping, "an object"),
    )
    return next((name for type_, name in names if isinstance(value, type_)), "a list")


def text(limit: int = TEXT_LIMIT, *, empty: bool = True, nullable: bool = False) -> Check:
    """Accept text of at most ``limit`` characters."""

    def check(field: str, value: Json) -> Iterator[Violation]:
        if not isinstance(value, str):
            if not (nullable and value is None):
                yield error("P05", field, f"must be text, not {kind_of(value)}")
        elif len(value) > limit:
            yield error("P07", field, f"has {len(value)} characters; Pexip takes {limit}")
        elif not empty and not value:
            yield error("P05", field, "must not be empty")

    return check


def boolean(field: str, value: Json) -> Iterator[Violation]:
    """Accept true and false, not the words."""
    if not isinstance(value, bool):
        yield error("P05", field, f"must be true or false, not {kind_of(value)}")


def integer(low: int | None = None, high: int | None = None, hint: str = "") -> Check:
    """Accept a whole number in a range."""

    def check(field: str, value: Json) -> Iterator[Violation]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield error("P05", field, f"must be a whole number, not {kind_of(value)}")
        elif (low is not None and value < low) or (high is not None and value > high):
            yield error("P05", field, f"{value} is not between {low} and {high}{hint}")

    return check


def one_of(*values: str, nullable: bool = False) -> Check:
    """Accept one of some words, as they are written."""

    def check(field: str, value: Json) -> Iterator[Violation]:
        if value not in values and not (nullable and value is None):
            yield error("P05", field, f"{quote(value)} is not one of {', '.join(values)}")

    return check


def texts(field: str, value: Json) -> Iterator[Violation]:
    """Accept a list of texts."""
    if not isinstance(value, list):
        yield error("P05", field, f"must be a list, not {kind_of(value)}")
        return
    for place, item in enumerate(value):
        yield from text(empty=False)(f"{field}.{place}", item)


def anything(field: str, value: Json) -> Iterator[Violation]:
    """Accept whatever it is, as long as its texts are short enough."""
    if isinstance(value, str):
        yield from text()(field, value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from anything(f"{field}.{key}", item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from anything(f"{field}.{place}", item)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an object may and must have."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()

    def check(self, field: str, value: JsonObject, *, missing: str = "P05") -> Iterator[Violation]:
        """Check an object; unknown fields are warnings, missing ones have the code ``missing``."""
        dot = f"{field}." if field else ""
        for name in self.required:
            if name not in value:
                yield error(missing, f"{dot}{name}", "is required and missing")
        for name, item in value.items():
            known = self.fields.get(name)
            if known is None:
                yield warning("P08", f"{dot}{name}", "is not a field Pexip knows here")
                yield from anything(f"{dot}{name}", item)
            else:
                yield from known(f"{dot}{name}", item)


def objects(shape: Shape) -> Check:
    """Accept a list of objects of one shape."""

    def check(field: str, value: Json) -> Iterator[Violation]:
        if not isinstance(value, list):
            yield error("P05", field, f"must be a list, not {kind_of(value)}")
            return
        for place, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from shape.check(f"{field}.{place}", item)
            else:
                yield error("P05", f"{field}.{place}", f"must be an object, not {kind_of(item)}")

    return check
