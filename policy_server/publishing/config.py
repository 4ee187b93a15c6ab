"""Reads data-config.json: where a policy's data is fetched from, and how often."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

from policy_server.model.duration import parse_duration
from policy_server.model.errors import Problem
from policy_server.model.refresh import DataConfig
from policy_server.model.values import Json
from policy_server.publishing.document import invalid, read_object

FILE: Final = "data-config.json"
SHORTEST: Final = 1.0
"""The shortest period, in seconds; a shorter one means this."""

T = TypeVar("T")

_KEYS: Final = ("url", "method", "period", "body")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f]")


def parse_config(text: str) -> DataConfig:
    """Return the configuration; InvalidSource with all its problems."""
    return read_config(text)[0]


def read_config(text: str) -> tuple[DataConfig, tuple[Problem, ...]]:
    """Return the configuration and what about it deserves a warning."""
    given, found = read_object(text, file=FILE)
    warnings = list(found)
    values: dict[str, Json] = {}
    for key, value in given.items():
        name = key.lower()
        if name not in _KEYS:
            warnings.append(Problem(f"the key {key!r} is not known and is ignored", FILE))
            continue
        if name in values:
            warnings.append(Problem(f"{name!r} is there in more than one spelling; the last one counts", FILE))
        values[name] = value
    problems: list[Problem] = []
    url = _checked(_url, values.get("url"), problems)
    method = _checked(_method, values.get("method"), problems)
    period = _checked(_period, values.get("period"), problems)
    if url is None or method is None or period is None:
        raise invalid(*problems)
    if period < SHORTEST:
        warnings.append(Problem(f"the period is shorter than {SHORTEST:g} s, which is used instead", FILE))
    body = values.get("body") if method == "POST" else None
    if method != "POST" and values.get("body") is not None:
        warnings.append(Problem("the body is sent only with the method POST", FILE))
    return DataConfig(url, method, max(period, SHORTEST), body), tuple(warnings)


def config_digest(config: DataConfig) -> str:
    """Return what tells two configurations apart, however they are written."""
    text = json.dumps([config.url, config.method, config.period, config.body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(read: Callable[[Json], T], value: Json, problems: list[Problem]) -> T | None:
    try:
        return read(value)
    except ValueError as error:
        problems.append(Problem(str(error), FILE))
        return None


def _url(value: Json) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("'url' is missing: a text such as https://example.com/data.json")
    url = value.strip()
    if not _SCHEME.match(url):
        url = f"https://{url.removeprefix('//')}"
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"http", "https"}:
        raise ValueError("'url' must begin with http:// or https://")
    try:
        fits = bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or _SPACE.search(url):
        raise ValueError("'url' is not a valid URL")  # not repeated: it may have a password
    return url


def _method(value: Json) -> str:
    if not isinstance(value, str) or value.upper() not in {"GET", "POST"}:
        raise ValueError("'method' must be GET or POST")
    return value.upper()


def _period(value: Json) -> float:
    nanoseconds: float = 0
    if isinstance(value, str):
        try:
            nanoseconds = parse_duration(value)
        except ValueError as error:
            raise ValueError(f"'period' cannot be read: {error}") from error
    elif isinstance(value, int | float) and not isinstance(value, bool):
        nanoseconds = value
    if not 0 < nanoseconds < 1 << 63:
        raise ValueError("'period' must be a time longer than nothing, such as \"10m\", or a number of nanoseconds")
    return nanoseconds / 1e9
