"""Reads the request of ``http.send``: every key OPA knows, in OPA's words when it is wrong.

Source of the rules: OPA 1.22, v1/topdown/http.go.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from policy_server.builtins.header import canonical
from policy_server.model.duration import parse_duration
from policy_server.model.errors import BuiltinFailed
from policy_server.wasm.rego import quoted, rego
from policy_server.wasm.text import Number, RegoObject, Value, parse, write

NETWORK: Final = "eval_http_send_network_error"
INTERNAL: Final = "eval_http_send_internal_error"

TIMEOUT: Final = 5.0
"""Seconds for a request that says nothing about it, as in OPA."""

_TLS_TEXTS: Final = tuple(
    f"tls_{what}{source}"
    for what in ("ca_cert", "client_cert", "client_key")
    for source in ("", "_file", "_env_variable")
)
_TEXTS: Final = ("method", "url", "raw_body", "tls_server_name", *_TLS_TEXTS)
_ALLOWED: Final = frozenset(_TEXTS) | {
    "body",
    "cache",
    "cache_ignored_headers",
    "caching_mode",
    "enable_redirect",
    "force_cache",
    "force_cache_duration_seconds",
    "force_json_decode",
    "force_yaml_decode",
    "headers",
    "max_retry_attempts",
    "raise_error",
    "timeout",
    "tls_insecure_skip_verify",
    "tls_use_system_certs",
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_HTML: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_LINES: Final = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


class SendFailed(Exception):
    """The request failed: ``code`` is one of OPA's two, ``message`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that can be sent.

    ``timeout`` is in seconds, None means no other limit than the evaluation's.
    ``force_cache`` is how long an answer counts as fresh whatever it says, in
    seconds, 0 to go by its headers. ``tls`` has the texts of the tls_* keys that were
    given. ``key`` is the same for requests that are the same; a digest, because headers
    and keys are secrets.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    follow: bool
    timeout: float | None
    retries: int
    cache: bool
    force_cache: int
    storable: bool
    json: bool
    yaml: bool
    tls: Mapping[str, str] = field(repr=False)
    system_certificates: bool
    verify: bool
    key: bytes

    def header(self, name: str) -> str:
        """Return a header that was given, empty when it was not."""
        return next((value for each, value in self.headers if each == name), "")


Fields = dict[str, Value]


def read_fields(operand: bytes) -> tuple[Fields, bool]:
    """Return the members of a request and whether its failures are raised; BuiltinFailed when that cannot be told."""
    value = parse(operand)
    if not isinstance(value, RegoObject):
        raise BuiltinFailed("operand 1 must be object")
    # Keys that are no texts are none of OPA's, and refused as unknown below.
    fields = {key if type(key) is str else f"\0{rego(key)}": member for key, member in value.pairs}
    raises = fields.get("raise_error", True)
    if not isinstance(raises, bool):
        raise BuiltinFailed("invalid value for raise_error field")
    return fields, raises


def read_request(fields: Fields) -> HttpRequest:
    """Check and read everything; SendFailed says what is wrong."""
    _check_keys(fields)
    ignored = _ignored(fields)
    texts = {name: _text(name, fields[name]) for name in _TEXTS if name in fields}
    cache, forced = _caching(fields)
    return HttpRequest(
        method=texts["method"].upper() or "GET",
        url=texts["url"],
        headers=_headers(fields),
        body=_body(fields, texts),
        follow=_parsed_bool(fields, "enable_redirect"),
        timeout=_timeout(fields),
        retries=_retries(fields),
        cache=cache,
        force_cache=forced,
        storable=fields.get("caching_mode", "serialized") in ("serialized", "deserialized"),
        json=_bool(fields, "force_json_decode"),
        yaml=_bool(fields, "force_yaml_decode"),
        tls={name: text for name, text in texts.items() if name.startswith("tls_") and text},
        system_certificates=_parsed_bool(fields, "tls_use_system_certs"),
        verify=not _parsed_bool(fields, "tls_insecure_skip_verify"),
        key=_key(fields, ignored),
    )


def wrong(message: str) -> SendFailed:
    """Return the failure for a request that cannot be made, as OPA prefixes it."""
    return SendFailed(INTERNAL, f"eval_builtin_error: http.send: {message}")


def _check_keys(fields: Fields) -> None:
    unknown = sorted(key[1:] if key.startswith("\0") else quoted(key) for key in fields if key not in _ALLOWED)
    if unknown:
        what = f"invalid request parameters(s): {{{', '.join(unknown)}}}"
        raise SendFailed(INTERNAL, f"eval_type_error: http.send: operand 1 {what}")
    missing = [quoted(key) for key in ("method", "url") if key not in fields]
    if missing:
        what = f"missing required request parameters(s): {{{', '.join(missing)}}}"
        raise SendFailed(INTERNAL, f"eval_type_error: http.send: operand 1 {what}")


def _text(name: str, value: Value) -> str:
    if type(value) is not str:
        raise wrong(f'"{name}" must be a string')
    return value.strip('"')


def _bool(fields: Fields, name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise wrong(f'invalid value for "{name}" field')
    return value


def _parsed_bool(fields: Fields, name: str) -> bool:
    # OPA parses what the value looks like, so that 1 and 0 are understood.
    value = fields.get(name, False)
    if isinstance(value, bool):
        return value
    if isinstance(value, Number) and value in ("0", "1"):
        return value == "1"
    raise wrong(f"{name}: {rego(value)} is no boolean")


def _headers(fields: Fields) -> tuple[tuple[str, str], ...]:
    value = fields.get("headers")
    if "headers" not in fields:
        return ()
    if not isinstance(value, RegoObject):
        raise wrong("invalid type for headers key")
    found: dict[str, str] = {}
    for key, member in value.pairs:
        if type(member) is not str:
            raise wrong(f"invalid type for headers value {rego(member)}")
        found[canonical(key if type(key) is str else rego(key))] = member
    return tuple(sorted(found.items()))


def _body(fields: Fields, texts: Mapping[str, str]) -> bytes:
    if "raw_body" in texts:
        return texts["raw_body"].encode(errors="replace")
    if "body" not in fields:
        return b""
    text = write(fields["body"])
    # As Go writes JSON; these letters stand in strings only.
    for letter, escaped in (*_HTML, *_LINES):
        text = text.replace(letter, escaped)
    return text


def _timeout(fields: Fields) -> float | None:
    value = fields.get("timeout")
    if "timeout" not in fields:
        return TIMEOUT
    if type(value) is not str and not isinstance(value, Number):
        raise SendFailed(INTERNAL, "eval_type_error: http.send: operand 1 'timeout' must be one of {string, number}")
    if isinstance(value, Number):
        whole = _whole(value)
        if whole is None:
            raise wrong(f"invalid timeout number value {value}, must be int64")
        nanoseconds = whole
    elif _WHOLE.fullmatch(value):
        nanoseconds = int(value)
    else:
        try:
            nanoseconds = parse_duration(value)
        except ValueError as error:
            raise wrong(f"invalid timeout value {quoted(value)}: {error}") from error
    return nanoseconds / 1e9 if nanoseconds > 0 else None


def _retries(fields: Fields) -> int:
    value = fields.get("max_retry_attempts", Number("0"))
    attempts = _whole(value) if isinstance(value, Number) else None
    if attempts is None or attempts < 0:
        raise SendFailed(INTERNAL, f'invalid value {rego(value)} for field "max_retry_attempts"')
    return attempts


def _whole(value: Number) -> int | None:
    """Return a number that fits 64 bits, None for any other; 1.0 is one."""
    if _WHOLE.fullmatch(value.removesuffix(".0")) is None:
        return None
    found = int(value.removesuffix(".0"))
    return found if -(2**63) <= found < 2**63 else None


def _caching(fields: Fields) -> tuple[bool, int]:
    cache, forced = _bool(fields, "cache"), _bool(fields, "force_cache")
    if not forced:
        return cache, 0
    if "force_cache_duration_seconds" not in fields:
        raise wrong("'force_cache' set but 'force_cache_duration_seconds' parameter is missing")
    value = fields["force_cache_duration_seconds"]
    if not isinstance(value, Number) or _WHOLE.fullmatch(value) is None or not -(2**31) <= int(value) < 2**31:
        raise wrong(f"force_cache_duration_seconds: {rego(value)} is no whole number of seconds")
    return True, max(int(value), 0)


def _ignored(fields: Fields) -> frozenset[str]:
    value = fields.get("cache_ignored_headers")
    if "cache_ignored_headers" not in fields or "headers" not in fields:
        return frozenset()
    if not isinstance(value, list) or not all(type(each) is str for each in value):
        raise SendFailed(INTERNAL, "cache_ignored_headers must be an array of strings")
    return frozenset(str(each) for each in value)


def _key(fields: Fields, ignored: frozenset[str]) -> bytes:
    named = {**fields, "cache_ignored_headers": None}
    headers = fields.get("headers")
    if isinstance(headers, RegoObject):
        named["headers"] = RegoObject([pair for pair in headers.pairs if pair[0] not in ignored])
    return hashlib.sha256(write(RegoObject(list(named.items())))).digest()
