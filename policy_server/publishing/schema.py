"""Output schemas: compiled once, checked often.

SECURITY: nothing outside the schema text is ever read (no remote, no file
reference), patterns run on an engine whose time is linear, and messages show
where a value does not fit, never the value.
"""

import threading
from collections import OrderedDict
from itertools import islice
from typing import Final

import jsonschema_rs

from policy_server.model.errors import InvalidSource, OutputInvalid, Problem
from policy_server.model.values import Json
from policy_server.publishing.digest import OUTPUT_SCHEMA
from policy_server.publishing.document import invalid, read_document

_MOST_PROBLEMS: Final = 50
_MOST_STEPS: Final = 100_000
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE: Final = ("not", "if", "then", "else")


class OutputSchemas:
    """Checks results; keeps the last ``size`` compiled schemas. Safe for threads."""

    def __init__(self, *, size: int = 256) -> None:
        """Start with nothing compiled."""
        self._size = size
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, jsonschema_rs.Validator] = OrderedDict()

    def validate(self, schema: str, document: bytes) -> None:
        """Check a JSON text against a schema text.

        Raises:
            OutputInvalid: it does not fit; each problem's ``parameter`` is a JSON pointer.
            InvalidSource: the schema does not compile, or the document is not JSON.
        """
        validator = self._validator(schema)
        try:
            text = document.decode()
        except UnicodeDecodeError as error:
            raise invalid(Problem("the result is not valid Unicode")) from error
        value = read_document(text, file="").value
        # NOTE: is_valid first; it is several times faster than looking for all errors, and the usual answer is yes.
        if validator.is_valid(value):
            return
        problems = tuple(_problem(error) for error in islice(validator.iter_errors(value), _MOST_PROBLEMS))
        shown = "; ".join(f"{problem.parameter or '/'}: {problem.message}" for problem in problems[:3])
        raise OutputInvalid(f"The result does not fit the policy's output schema: {shown}.", problems=problems)

    def _validator(self, schema: str) -> jsonschema_rs.Validator:
        with self._lock:
            known = self._compiled.get(schema)
            if known is not None:
                self._compiled.move_to_end(schema)
                return known
        made = compile_schema(schema)
        with self._lock:
            self._compiled[schema] = made
            while len(self._compiled) > self._size:
                self._compiled.popitem(last=False)
        return made


def compile_schema(text: str) -> jsonschema_rs.Validator:
    """Compile a JSON Schema (draft 2020-12 unless ``$schema`` says otherwise); InvalidSource."""
    value = read_document(text, file=OUTPUT_SCHEMA).value
    if not isinstance(value, dict | bool):
        raise invalid(Problem("a JSON Schema is an object or a boolean", OUTPUT_SCHEMA))
    try:
        made: jsonschema_rs.Validator = jsonschema_rs.validator_for(
            text,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(),  # linear; no look-around, no back-references, like Go's
            mask="the value",
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        raise _unfit(error) from error
    except ValueError as error:
        raise invalid(Problem(f"not a usable JSON Schema: {error}", OUTPUT_SCHEMA)) from error
    try:
        bounded = not isinstance(value, dict) or _bounded(value)
    except RecursionError:
        bounded = False
    if not bounded:
        raise invalid(Problem("its references multiply: checking one value could take for ever", OUTPUT_SCHEMA))
    return made


def _unfit(error: jsonschema_rs.ValidationError) -> InvalidSource:
    where = _pointer(error.instance_path)
    message = error.message
    if "Retrieval is disabled" in message or "No base URI" in message:
        message = "a $ref leads out of the schema; only references inside it are followed"
    elif 'is not a "regex"' in message:
        message = "this pattern cannot be used (look-around and back-references are not supported)"
    at = f" at {where}" if where else ""
    return invalid(Problem(f"not a valid JSON Schema{at}: {message}", OUTPUT_SCHEMA, parameter=where))


def _problem(error: jsonschema_rs.ValidationError) -> Problem:
    return Problem(error.message, code=error.kind.name, parameter=_pointer(error.instance_path))


def _pointer(path: list[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _bounded(root: dict[str, Json]) -> bool:
    """Tell whether one value meets a bounded number of subschemas.

    Ten definitions that each name the next one ten times are 10^10 checks of
    one value. Recursion is fine: the validator remembers what it is checking.
    """
    costs: dict[int, int] = {}

    def cost(schema: Json) -> int:
        if not isinstance(schema, dict):
            return 1
        known = costs.get(id(schema))
        if known is not None:
            return known
        costs[id(schema)] = 1  # met again on the way down: recursion
        total = 1 + sum(cost(inner) for inner in _in_place(root, schema))
        costs[id(schema)] = min(total, _MOST_STEPS + 1)
        return costs[id(schema)]

    pending: list[Json] = [root]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            if cost(current) > _MOST_STEPS:
                return False
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return True


def _in_place(root: dict[str, Json], schema: dict[str, Json]) -> list[Json]:
    """Return the subschemas that are applied to the same value."""
    found: list[Json] = [schema[key] for key in _IN_PLACE if key in schema]
    for key in _IN_PLACE_LISTS:
        inner = schema.get(key)
        found.extend(inner if isinstance(inner, list) else [])
    dependent = schema.get("dependentSchemas")
    found.extend(dependent.values() if isinstance(dependent, dict) else [])
    for key in ("$ref", "$dynamicRef"):
        reference = schema.get(key)
        if isinstance(reference, str) and reference.startswith("#"):
            found.append(_target(root, reference))
    return found


def _target(root: dict[str, Json], reference: str) -> Json:
    """Follow a JSON pointer; an anchor or a dead end counts as one plain schema."""
    current: Json = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(current, dict):
            current = current.get(key)
        elif isinstance(current, list) and key.isdecimal() and int(key[:9]) < len(current):
            current = current[int(key[:9])]
        else:
            return None
    return current
