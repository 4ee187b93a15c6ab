"""Answers of the toolkit: their results, and their errors as our errors."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Self, cast

from policy_server.model.errors import (
    BuiltinFailed,
    CompileError,
    EvaluationError,
    PolicyServerError,
    Problem,
    RuleConflict,
    ToolkitError,
)
from policy_server.model.values import Json

_LINES = re.compile(r"\s*\n\s*")
_KINDS: Mapping[str, type[PolicyServerError]] = {
    "eval_conflict_error": RuleConflict,
    "eval_builtin_error": BuiltinFailed,
    "eval_type_error": BuiltinFailed,
}


class Spelled(float):
    """A number with a fraction or an exponent that remembers how OPA wrote it: a double keeps 17 digits, Rego more."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """Read JSON's notation."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def result_of(answer: bytes, *, spelled: bool = False) -> Json:
    """Return the result; raise what went wrong, with every problem that OPA names.

    With ``spelled`` the numbers that are no integers are `Spelled`.
    """
    try:
        document = json.loads(answer, parse_float=Spelled if spelled else None)
    except ValueError as error:
        # Python reads no integer of more than 4300 digits; what the toolkit writes is JSON.
        raise ToolkitError(f"OPA's answer cannot be read: {error}") from error
    if "error" not in document:
        return cast("Json", document["result"])
    raise _failure(document["error"])


def _failure(said: Mapping[str, Json]) -> PolicyServerError:
    found = cast("Sequence[Mapping[str, Json]]", said["problems"] or ())
    problems = [
        Problem(
            message=_LINES.sub(" ", str(each["message"])),
            file=str(each["file"]),
            line=cast("int", each["row"]),
            column=cast("int", each["col"]),
            code=str(each["code"]),
        )
        for each in found
    ]
    if not problems:
        return ToolkitError(f"OPA's toolkit: {said['message']}")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _KINDS.get(problems[0].code, _kind(problems[0].code))(f"{problems[0]}{more}", problems=problems)


def _kind(code: str) -> type[PolicyServerError]:
    return EvaluationError if code.startswith("eval_") else CompileError
