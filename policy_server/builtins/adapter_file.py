"""Reads an operator's own functions from a TOML file, and finds what is wrong with them before any is called."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, cast
from urllib.parse import urlsplit

import msgspec

from policy_server.builtins.adapter import Adapter
from policy_server.builtins.declare import ANY, ARRAY, OBJECT, OnFailure
from policy_server.builtins.template import PLACE, VARIABLE, places, pointer
from policy_server.model.duration import parse_duration
from policy_server.model.errors import Problem, SettingsError
from policy_server.model.values import Json, JsonObject

Simple = Literal["string", "number", "boolean", "null", "array", "object", "any"]
Time = str | int | float

_TYPES: Final[Mapping[str, JsonObject]] = {"array": ARRAY, "object": OBJECT, "any": ANY}
_SCALARS: Final = frozenset({"string", "number", "boolean"})
_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_ARGUMENT: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RESERVED: Final = frozenset({"data", "input", "internal", "exact", "strict", "rego", "opa", "future"})
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_LONGEST: Final = 366 * 86400.0
_LARGEST: Final = 1 << 20


class _Function(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    url: str
    args: dict[str, Simple] = {}
    result: Simple = "any"
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: object = msgspec.UNSET
    ok: Annotated[tuple[Annotated[int, msgspec.Meta(ge=200, le=599)], ...], msgspec.Meta(min_length=1)] = (200, 201)
    response: str = ""
    missing: Literal["fail", "undefined"] = "fail"
    timeout: Time = "30s"
    cache: Time = 0
    memo: bool = True
    bearer: bool = False
    errors: OnFailure | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    function: dict[str, _Function] = {}


def read_adapters(file: Path, variables: Mapping[str, str]) -> Sequence[tuple[str, Adapter]]:
    """Return the functions of a file, each with scheme, host and port of its server.

    ``variables`` are what ``{env:NAME}`` in headers stands for. SettingsError names every problem.
    """
    problems: list[str] = []
    found = []
    for name, each in _content(file).function.items():
        wrong = _problems(name, each, variables)
        problems += [f"{file}: function {name!r}: {problem}" for problem in wrong]
        if not wrong:
            found.append(_adapter(name, each, variables))
    if problems:
        raise SettingsError("; ".join(problems), problems=[Problem(each, code=SettingsError.slug) for each in problems])
    return found


def _content(file: Path) -> _File:
    try:
        text = file.read_text(encoding="utf-8")
        if len(text) > _LARGEST:
            raise SettingsError(f"{file} is larger than {_LARGEST >> 20} MiB")
        return msgspec.convert(tomllib.loads(text), _File)
    except OSError as error:
        raise SettingsError(f"the file of functions {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file of functions {file} is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"the file of functions {file} cannot be used: {error}") from error


def _problems(name: str, function: _Function, variables: Mapping[str, str]) -> list[str]:
    found = list(wrong_name(name))
    found += [f"{each!r} is no name of an argument" for each in function.args if not _ARGUMENT.fullmatch(each)]
    found += _wrong_url(function.url)
    found += _wrong_headers(function.headers, variables)
    found += _wrong_places(function)
    if function.body is not msgspec.UNSET and function.method == "GET":
        found.append("a GET request has no body")
    if function.cache and function.method != "GET":
        found.append("only the answers of GET requests are kept (cache)")
    for what, text, low in (("timeout", function.timeout, 0.001), ("cache", function.cache, 0.0)):
        seconds = _seconds(text)
        if seconds is None or not low <= seconds <= _LONGEST:
            found.append(f"{what} must be a length of time such as 2s, not {text!r}")
    try:
        pointer(function.response)
    except ValueError as error:
        found.append(f"response must be {error}")
    return found


def wrong_name(name: str) -> Sequence[str]:
    """Return what is wrong with the name of an own function; at most one sentence."""
    if _NAME.fullmatch(name) is None:
        return ["the name needs a dot and parts of letters, digits and _ (acme.users), so that OPA's stay apart"]
    if name.split(".", maxsplit=1)[0] in _RESERVED:
        return [f"names that begin with {name.split('.', maxsplit=1)[0]}. are not free"]
    return []


def _wrong_url(url: str) -> Sequence[str]:
    origin, target = _taken_apart(url)
    try:
        parts = urlsplit(origin)
        _port = parts.port
    except ValueError:
        return ["url cannot be read"]
    if parts.scheme not in {"http", "https"} or not parts.hostname or "{" in origin:
        return ["url must begin with http:// or https:// and a host, in which no argument stands"]
    if "@" in parts.netloc:
        return ["url must not have a user or password; headers may"]
    if re.search(r"[{}]", PLACE.sub("", target)):
        return ["url has a brace that is no {argument}"]
    return ["url has a fragment (#), which is never sent"] if "#" in target else []


def _wrong_headers(headers: Mapping[str, str], variables: Mapping[str, str]) -> list[str]:
    found = []
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or name.lower() in _OURS:
            found.append(f"the header {name!r} cannot be set")
        if re.search(r"[\x00-\x1f\x7f]", value):
            found.append(f"the header {name} has characters that a header cannot carry")
        missing = [each for each in VARIABLE.findall(value) if each not in variables]
        found += [f"the header {name} names the environment variable {each}, which is not set" for each in missing]
    return found


def _wrong_places(function: _Function) -> list[str]:
    texts = [function.url, *function.headers.values()]
    used = [each for text in texts for each in places(text)]
    unknown = {*used, *places(function.body)} - function.args.keys()
    found = [f"{{{each}}} is none of its arguments" for each in sorted(unknown)]
    for each in sorted(set(used) - unknown):
        if function.args[each] not in _SCALARS:
            found.append(f"{each} stands in url or headers and must be a string, number or boolean")
    return found


def _adapter(name: str, function: _Function, variables: Mapping[str, str]) -> tuple[str, Adapter]:
    origin, target = _taken_apart(function.url)
    has_body = function.body is not msgspec.UNSET
    used = {each for value in function.headers.values() for each in VARIABLE.findall(value)}
    return origin, Adapter(
        name=name,
        args={key: _type(kind) for key, kind in function.args.items()},
        result=_type(function.result),
        method=function.method,
        target=target,
        headers=function.headers,
        body=cast("Json", function.body) if has_body else None,
        has_body=has_body,
        ok=frozenset(function.ok),
        response=pointer(function.response),
        lenient=function.missing == "undefined",
        timeout=_seconds(function.timeout) or 0.0,
        cache=_seconds(function.cache) or 0.0,
        memo=function.memo,
        bearer=function.bearer,
        variables={each: variables[each] for each in used},
        on_failure=function.errors,
    )


def _taken_apart(url: str) -> tuple[str, str]:
    found = re.match(r"[^/?#]*//[^/?#]*", url.strip())
    origin = found[0] if found is not None else url.strip()
    target = url.strip()[len(origin) :]
    return origin, target if target.startswith("/") else f"/{target}"


def _type(kind: str) -> JsonObject:
    return _TYPES.get(kind, {"type": kind})


def _seconds(text: Time) -> float | None:
    if isinstance(text, int | float):
        return float(text)
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        return None
