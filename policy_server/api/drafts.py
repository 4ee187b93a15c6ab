"""Reads a policy from a request's body."""

from collections.abc import Mapping
from typing import Final, TypeVar

import falcon
import msgspec

from policy_server.api.request import read_body
from policy_server.model.errors import InvalidJson, InvalidParameter, Problem
from policy_server.model.policy import Dialect, PolicyId, PolicySource

T = TypeVar("T")

ORIGIN: Final = "api"
TEST_FILE: Final = "policy_test.rego"

_KNOWN: Final = frozenset({"rego", "data", "dataConfig", "outputSchema", "exportConfig", "dialect", "tests"})
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_members(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of a JSON object as they are written; InvalidJson."""
    try:
        return _members.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the body must be a JSON object: {error}") from error


def read_draft(req: falcon.Request, policy: PolicyId, limit: int) -> tuple[PolicySource, Mapping[str, str]]:
    """Read a source and its tests.

    Raises:
        InvalidParameter: the policy's name is none that its address would always lead to.
        InvalidJson: not an object, an unknown member, or one of the wrong type; each problem has a pointer.
        InputTooLarge: more than ``limit`` bytes.
    """
    if not policy.is_addressable:
        raise InvalidParameter("The repository, group, name or version is none that an address can have.")
    members = read_members(read_body(req, limit))
    problems = [
        Problem(f'"{name}" is no part of a policy', code="unknown-member", parameter=f"/{_escape(name)}")
        for name in members
        if name not in _KNOWN
    ]
    if "rego" not in members:
        problems.append(Problem('"rego" is missing from body', code="missing", parameter="/rego"))
    if problems:
        raise InvalidJson(problems[0].message, problems=problems)
    source = PolicySource(
        policy,
        _typed(members["rego"], str, "rego"),
        data=_document(members, "data"),
        data_config=_document(members, "dataConfig"),
        output_schema=_document(members, "outputSchema"),
        export_config=_document(members, "exportConfig"),
        dialect=_typed(members["dialect"], Dialect, "dialect") if "dialect" in members else Dialect.AUTO,
        origin=ORIGIN,
    )
    return source, _tests(members.get("tests"))


def _document(members: Mapping[str, msgspec.Raw], name: str) -> str | None:
    """Return the text of a document: JSON as it is written there, or the text in a string; null is none."""
    text = bytes(members.get(name, b"null")).strip()
    if text == b"null":
        return None
    if text.startswith(b'"'):
        return _typed(msgspec.Raw(text), str, name)
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson(f"/{name} is not UTF-8") from error


def _tests(raw: msgspec.Raw | None) -> Mapping[str, str]:
    if raw is None or bytes(raw).strip() == b"null":
        return {}
    if bytes(raw).strip().startswith(b'"'):
        return {TEST_FILE: _typed(raw, str, "tests")}
    return _typed(raw, dict[str, str], "tests")


def _typed(raw: msgspec.Raw, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = Problem(str(error), code="wrong-type", parameter=f"/{name}")
        raise InvalidJson(f"/{name}: {error}", problems=[problem]) from error


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
