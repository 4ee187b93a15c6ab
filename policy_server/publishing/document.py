"""Reads JSON text strictly and says where it is wrong."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, cast

from policy_server.model.errors import InvalidSource, Problem
from policy_server.model.values import Json

_KINDS: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Document:
    """The value of a JSON text, and what about it deserves a warning."""

    value: Json
    warnings: tuple[Problem, ...] = ()


def read_document(text: str, *, file: str) -> Document:
    """Parse; InvalidSource with the file, line and column of what is wrong.

    NaN and Infinity are refused, as RFC 8259 has it. A key that is there twice
    counts with its last value, as OPA has it, and is warned about.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        made = dict(items)
        if len(made) < len(items):
            left = dict(items)
            twice.extend(key for key, _ in items if left.pop(key, twice) is twice)
        return made

    try:
        text.encode()
        value = cast("Json", json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse))
    except json.JSONDecodeError as error:
        problem = Problem(f"not valid JSON: {error.msg}", file, error.lineno, error.colno)
        raise invalid(problem) from error
    except RecursionError as error:
        raise invalid(Problem("nested too deeply", file)) from error
    except UnicodeEncodeError as error:
        raise invalid(Problem("not valid Unicode", file)) from error
    except ValueError as error:
        raise invalid(Problem(f"not valid JSON: {error}", file)) from error
    warnings = tuple(
        Problem(f"the key {key!r} is there more than once in one object; the last one counts", file)
        for key in dict.fromkeys(twice)
    )
    return Document(value, warnings)


def read_object(text: str, *, file: str) -> tuple[dict[str, Json], tuple[Problem, ...]]:
    """Parse what must be a JSON object; returns it with the warnings."""
    document = read_document(text, file=file)
    if not isinstance(document.value, dict):
        raise invalid(Problem(f"must be a JSON object, not {_KINDS.get(type(document.value), 'a number')}", file))
    return document.value, document.warnings


def invalid(*problems: Problem) -> InvalidSource:
    """Make the error that carries these problems; its message is the first one."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidSource(f"{problems[0]}{more}", problems=problems)


def explain(message: str, problems: Sequence[Problem], *, most: int = 20) -> str:
    """Write an error for a listing: every problem on a line of its own, or the message."""
    if not problems:
        return message
    lines = [str(problem) for problem in problems[:most]]
    if len(problems) > most:
        lines.append(f"and {len(problems) - most} more")
    return "\n".join(lines)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
