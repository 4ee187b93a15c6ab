"""What is set about the decision log, and how it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from policy_server.model.secrets import COVERED
from policy_server.notation.kinds import Kind

LOG: Final = "log"
STORE: Final = "store"
FILE: Final = "file:"
SERVER: Final = "server"
_OFF: Final = frozenset({"off", "none", "false"})
_ROOTS: Final = frozenset({"input", "result", "alias", "requested_by"})
_SINKS: Final = f"off, or some of {LOG}, {STORE}, {FILE}/path and an http(s) address, separated by commas"
_MASKS: Final = (
    "JSON pointers such as /input/call/remote_alias, each alone or with =hash or =text:… , separated by commas"
)


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where records go: ``log``, ``store``, ``file:/path``, addresses; none means that nothing is recorded."""

    names: tuple[str, ...] = ()

    def written(self, *, secrets: bool) -> str:
        """Write them; an address without its password unless that is asked for."""
        return ",".join(self.names if secrets else map(shown_sink, self.names)) or "off"


def shown_sink(name: str) -> str:
    """Return the name of a sink without a password, for people, logs and counts."""
    if not is_address(name):
        return name
    parts = urlsplit(name)
    host = parts.netloc.rpartition("@")[2]
    covered = f"{COVERED}@{host}" if "@" in parts.netloc else host
    return f"{parts.scheme}://{covered}{parts.path}"


def kind_of(name: str) -> str:
    """Return what kind of sink it is: ``log``, ``store``, ``file`` or ``server``.

    SECURITY: health pages and metrics are read by everybody, and what protects a server is often in its path.
    """
    return SERVER if is_address(name) else name.partition(":")[0]


def is_address(name: str) -> bool:
    """Tell whether a sink is another server."""
    return name.startswith(("http://", "https://"))


class Action(StrEnum):
    """What is done to what a mask points at: taken out, replaced by a keyed hash, or by a text."""

    ERASE = "erase"
    HASH = "hash"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Mask:
    """Hides one place of a record; a part ``*`` of ``parts`` is any member, or any element of a list."""

    parts: tuple[str, ...]
    action: Action = Action.ERASE
    text: str = ""

    def __str__(self) -> str:
        """Write it as it is read."""
        pointer = pointer_of(self.parts)
        if self.action is Action.ERASE:
            return pointer
        return f"{pointer}={self.action}" + (f":{self.text}" if self.action is Action.TEXT else "")


def pointer_of(parts: Sequence[str]) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def unkeyed(values: Mapping[str, object]) -> list[str]:
    """Return what is wrong with settings that ask for hashes and have no key for them.

    SECURITY: without a key, whoever reads a hash of a name or a number finds it by trying.
    """
    masks = values.get("decision_log_mask")
    hashed = isinstance(masks, tuple) and any(isinstance(each, Mask) and each.action is Action.HASH for each in masks)
    if not hashed or values.get("decision_log_hash_key") is not None:
        return []
    return ["decision_log_mask has =hash, which needs a key: set POLICY_DECISION_LOG_HASH_KEY"]


def _items(value: object) -> list[str]:
    if isinstance(value, Mapping):
        value = [f"{pointer}={action}" for pointer, action in value.items()]
    if isinstance(value, str):
        value = value.replace("\n", ",").split(",")
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return [part.strip() for part in value if part.strip()]
    raise ValueError("a list")


def _sinks(value: object) -> Sinks:
    names = list(dict.fromkeys(_items(value)))
    if len(names) == 1 and names[0].lower() in _OFF:
        return Sinks()
    for name in names:
        path = name.removeprefix(FILE)
        is_file = name.startswith(FILE) and Path(path).is_absolute() and "\0" not in path
        has_host = is_address(name) and urlsplit(name).hostname and not urlsplit(name).fragment
        if not (name in {LOG, STORE} or is_file or has_host):
            raise ValueError(_SINKS)
    return Sinks(tuple(names))


def _mask(item: str) -> Mask:
    pointer, _, action = item.partition("=")
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.strip().split("/")[1:])
    kind, colon, text = (action.strip() or Action.ERASE).partition(":")
    if not pointer.startswith("/") or parts[0] not in _ROOTS or kind not in tuple(Action):
        raise ValueError(_MASKS)
    if bool(colon) is not (kind == Action.TEXT):
        raise ValueError(_MASKS)
    return Mask(parts, Action(kind), text)


def _masks(value: object) -> tuple[Mask, ...]:
    return tuple(dict.fromkeys(_mask(item) for item in _items(value)))


SINKS: Final = Kind(f"`off`, or some of `{LOG}`, `{STORE}`, `{FILE}/path` and `https://…`, separated by commas", _sinks)
MASKS: Final = Kind(
    "JSON pointers below `/input` and `/result`, or `/alias` or `/requested_by`, each alone (taken out) or with "
    "`=hash` or `=text:…`; `*` is any member; separated by commas (a table in the file)",
    _masks,
)
