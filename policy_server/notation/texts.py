"""Texts and names, one or several."""

import re
from collections.abc import Mapping
from typing import Final

from policy_server.model.policy import PolicyId
from policy_server.notation.kinds import Kind, as_text, items


def _patterns(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    if not all(re.fullmatch(r"!?[^\s!]+", item) for item in found):
        raise ValueError("patterns such as example/* or !example/group/name/1.0, separated by commas")
    return found


def _names(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", item) for item in found):
        raise ValueError("names of environment variables, separated by commas")
    return found


def _failures(value: object) -> tuple[tuple[str, str], ...]:
    """Read ``fail, proof.verify=value``; a word alone is for all functions."""
    wanted = "fail, undefined or value, and name=word for single functions, separated by commas"
    if isinstance(value, Mapping):
        value = [f"{name}={word}" for name, word in value.items()]
    found = []
    for item in items(value):
        name, _, word = (part.strip() for part in (item if "=" in item else f"*={item}").rpartition("="))
        if word not in {"fail", "undefined", "value"} or not re.fullmatch(r"[\w.*?]+", name):
            raise ValueError(wanted)
        found.append((name, word))
    return tuple(found)


def _entry_points(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    if not all(re.fullmatch(r"[\w.*?\[\]-]+", item) for item in found):
        raise ValueError("names of entry points, separated by commas; * is all")
    return found


def _subject(value: object) -> str:
    text = as_text(value)
    if not re.fullmatch(r"[^\s.*>]+(\.[^\s.*>]+)*", text):
        raise ValueError("a NATS subject without wildcards, such as policy_notifier")
    return text


def _policy(value: object) -> PolicyId:
    try:
        return PolicyId.parse(str(value).strip())
    except ValueError as error:
        raise ValueError("repository/group/name/version") from error


def _optional_policy(value: object) -> PolicyId | None:
    return _policy(value) if value != "" else None


def _repositories(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items(value)))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(items(value))


def _header(value: object) -> str:
    text = as_text(value)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text) is None:
        raise ValueError("the name of a header")
    return text


TEXT: Final = Kind("text", as_text)
TEXTS: Final = Kind("texts, separated by commas", _texts)
HEADER: Final = Kind("the name of a header", _header)
PATTERNS: Final = Kind("`repository/group/name/version` with `*` for anything, separated by commas", _patterns)
NAMES: Final = Kind("names of environment variables, separated by commas", _names)
FAILURES: Final = Kind(
    "`fail`, `undefined` or `value`, and `name=word` for single functions (`*` for anything), separated by commas",
    _failures,
)
ENTRY_POINTS: Final = Kind("names of entry points, separated by commas; `*` is all", _entry_points)
SUBJECT: Final = Kind("a NATS subject without wildcards", _subject)
POLICY: Final = Kind("`repository/group/name/version`", _policy)
OPTIONAL_POLICY: Final = Kind("`repository/group/name/version`, or empty", _optional_policy)
REPOSITORIES: Final = Kind("names of repositories, separated by commas", _repositories)
