"""Compares an answer with what a case wants, as OPA's own tests do."""

import json
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from opa_suite.cases import Number, Want
from policy_server.model.errors import PolicyServerError, RuleConflict
from policy_server.model.values import Json

Canonical = tuple[object, ...]
"""A value that compares as Rego values do; numbers by value."""


class Kind(StrEnum):
    """How a case ended."""

    PASS = "pass"
    ORDER = "order"
    VALUE = "value"
    ERROR = "error"
    MISSING = "missing"
    UNSTABLE = "unstable"
    COMPILE = "compile"


Verdict = tuple[Kind, str]
"""How it ended, and what was seen when it did not pass."""

PASSED: Verdict = (Kind.PASS, "")


def judge(want: Want, answer: bytes | PolicyServerError | None) -> Verdict:
    """Compare the JSON text of an array of bindings, or the error there was instead."""
    wants_answer = want.defined is not None or want.result is not None
    if not wants_answer and not want.strict:
        return _conflict(want, answer)
    if isinstance(answer, PolicyServerError):
        return Kind.ERROR, f"{type(answer).__name__}: {answer.message}"
    if answer is None:
        return Kind.VALUE, "the query's rule is undefined"
    bindings = json.loads(answer, parse_int=Number, parse_float=Number)
    if want.defined is not None:
        return PASSED if bool(bindings) is want.defined else _differs(want.defined, answer)
    # Errors that exist only in strict mode leave the query without an answer.
    wanted = want.result or ()
    if _as_set(wanted, sort=want.sort) == _as_set(bindings, sort=want.sort):
        return PASSED
    loose = {_unordered(each) for each in wanted} == {_unordered(each) for each in bindings}
    return _differs(wanted, answer, Kind.ORDER if loose else Kind.VALUE)


def _conflict(want: Want, answer: bytes | PolicyServerError | None) -> Verdict:
    # All errors that are no strict errors are conflicts; WebAssembly's compiler has words of its own for them.
    if want.code not in ("", "eval_conflict_error"):
        return Kind.MISSING, f"the case wants {want.code}, which this runner does not know"
    if not isinstance(answer, RuleConflict):
        got = f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else _short(answer)
        return (Kind.ERROR if isinstance(answer, Exception) else Kind.MISSING), f"wanted a conflict, got {got}"
    place = [f"{each.line}:{each.column}" for each in answer.problems]
    if want.error.endswith("conflict") and place != [":".join(want.error.split(":")[1:3])]:
        return Kind.ERROR, f"wanted {want.error}, got it at {place}"
    return PASSED


def _differs(wanted: object, answer: bytes, kind: Kind = Kind.VALUE) -> Verdict:
    return kind, f"wanted {_short(json.dumps(wanted, ensure_ascii=False).encode())}, got {_short(answer)}"


def _short(text: bytes | None) -> str:
    if text is None:
        return "nothing"
    shown = text.decode(errors="replace")
    return shown if len(shown) <= 400 else f"{shown[:400]}…"


def _as_set(bindings: object, *, sort: bool) -> set[Canonical]:
    assert isinstance(bindings, list | tuple)
    return {tuple(sorted((name, _bound(value, sort=sort)) for name, value in each.items())) for each in bindings}


def _bound(value: Json, *, sort: bool) -> Canonical:
    found = canonical(value)
    if sort and isinstance(value, list):
        return found[0], *sorted(found[1:])  # type: ignore[type-var]  # canonical values compare
    return found


def canonical(value: Json) -> Canonical:
    """Return a value that sorts in Rego's order and equals another when Rego says so."""
    match value:
        case None:
            return (0,)
        case bool():
            return (1, value)
        case Number():
            return (2, *_exact(value))
        case str():
            return (3, value.encode(errors="surrogatepass"))
        case list():
            return (4, *map(canonical, value))
        case dict():
            return (5, *sorted((canonical(key), canonical(each)) for key, each in value.items()))
        case _:
            raise TypeError(value)


def _exact(number: Number) -> tuple[int, Decimal] | tuple[int, str]:
    try:
        return 0, Decimal(number)
    except InvalidOperation:
        # An exponent beyond all limits.
        return 1, str(number)


def _unordered(value: Json) -> Canonical:
    match value:
        case list():
            return (4, *sorted(map(_unordered, value)))
        case dict():
            return (5, *sorted((key, _unordered(each)) for key, each in value.items()))
        case _:
            return canonical(value)
