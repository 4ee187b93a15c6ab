"""How settings are written: one reader a kind of value.

A reader takes what a file, a variable or a flag gave (text, or what TOML makes
of it) and returns the value. It raises ValueError with the rest of a sentence
that begins "must be".
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from policy_server.auth.certificates import parse_known
from policy_server.auth.rules import ALGORITHMS
from policy_server.model import secrets
from policy_server.model.duration import parse_duration
from policy_server.model.policy import PolicyId
from policy_server.model.principal import parse_grant

T = TypeVar("T")
U = TypeVar("U")

_SIZE: Final = re.compile(r"(\d+)\s*(?:([kmg])(i?)b?|b)?", re.IGNORECASE)
_YES: Final = frozenset({"1", "t", "true", "yes", "on"})
_NO: Final = frozenset({"0", "f", "false", "no", "off"})
_STORES: Final = ("sqlite:///", "postgresql://", "postgres://", "mongodb://", "mongodb+srv://")
_PASSWORD: Final = re.compile(r"(?<=://)([^/?#@:]*):(?:[^/?#]*)(?=@)")
_SECRET_PART: Final = re.compile(
    r"(?<=[?&])((?:ssl)?password|tlsCertificateKeyFilePassword|authMechanismProperties)=[^&]*", re.IGNORECASE
)
COVERED: Final = secrets.COVERED
"""What stands in place of a secret."""
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")


class SecretStr:
    """Text that never shows itself by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the text."""
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text, on purpose."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is something, not what."""
        return f"SecretStr('{COVERED}')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, SecretStr) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: what the reference says about it, and its reader."""

    says: str
    read: Callable[[object], T]

    def then(self, make: Callable[[T], U]) -> "Kind[U]":
        """Return a kind that is written the same and makes something else of what was read."""
        return Kind(self.says, lambda value: make(self.read(value)))


def _text(value: object) -> str:
    if isinstance(value, str | Path):
        return str(value).strip()
    raise ValueError("text")


def _yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError("true or false")


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def number(low: int, high: int) -> Kind[int]:
    """Describe whole numbers from ``low`` to ``high``."""
    wanted = f"a whole number from {low} to {high}"

    def read(value: object) -> int:
        given = _whole(value)
        if given is None or not low <= given <= high:
            raise ValueError(wanted)
        return given

    return Kind(wanted, read)


def seconds(text: str) -> float | None:
    """Read a duration as Go writes it (``1h30m``, ``250ms``), days (``7d``) or plain seconds; None when it is none."""
    text = text.strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return float(text)
    if re.fullmatch(r"\d{1,6}d", text):
        return int(text[:-1]) * 86400.0
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        return None


def duration(low: float, high: float) -> Kind[float]:
    """Describe lengths of time, in seconds inside."""
    wanted = f"a length of time such as 2s, 250ms or 1h30m (plain numbers are seconds), {low:g} to {high:g} seconds"

    def read(value: object) -> float:
        given = None if isinstance(value, bool) else seconds(str(value))
        if given is None or not low <= given <= high:
            raise ValueError(wanted)
        return given

    return Kind("a length of time: `2s`, `250ms`, `1h30m`; plain numbers are seconds", read)


def size(low: int) -> Kind[int]:
    """Describe amounts of bytes, ``low`` at least."""

    def read(value: object) -> int:
        whole = _whole(value)
        match = _SIZE.fullmatch(str(value).strip())
        if whole is None and match is not None:
            step = 1024 if match[3] else 1000
            whole = int(match[1]) * step ** (" kmg".index(match[2].lower()) if match[2] else 0)
        if whole is None or whole < low:
            raise ValueError(f"a size such as 256MiB or 64kB, at least {low} bytes")
        return whole

    return Kind("a size: `256MiB`, `64kB`; plain numbers are bytes", read)


def choice(*words: str, **also: str) -> Kind[str]:
    """Describe one of some words, in any case; ``also`` maps other spellings to them."""

    def read(value: object) -> str:
        word = str(value).strip().lower()
        word = also.get(word, word)
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return word

    return Kind("one of " + ", ".join(f"`{word}`" for word in words), read)


def _path(value: object) -> Path:
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError("a path")
    return Path(text).expanduser()


def _optional_path(value: object) -> Path | None:
    return _path(value) if value != "" else None


def _items(value: object) -> Sequence[str]:
    """Split ``a, b`` or take a TOML list of texts."""
    if isinstance(value, str):
        return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return [str(part).strip() for part in value if str(part).strip()]
    raise ValueError("a list")


def _folders(value: object) -> tuple[tuple[str, Path], ...]:
    wanted = "repository=path pairs, separated by commas"
    if isinstance(value, Mapping):
        value = [f"{repository}={path}" for repository, path in value.items()]
    pairs = []
    for item in _items(value):
        repository, equals, path = (part.strip() for part in item.partition("="))
        if not (equals and path and re.fullmatch(r"[\w.-]+", repository)):
            raise ValueError(wanted)
        pairs.append((repository, Path(path).expanduser()))
    return tuple(pairs)


def _credentials(value: object) -> tuple[tuple[str, SecretStr], ...]:
    """Read pairs; where there are several lines each is one pair, so that passwords may hold commas."""
    pairs = []
    for item in _items(value.splitlines() if isinstance(value, str) and "\n" in value else value):
        user, colon, password = item.partition(":")
        if not (colon and user and password):
            raise ValueError("user:password, several separated by commas or one a line")
        pairs.append((user, SecretStr(password)))
    return tuple(pairs)


def _networks(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    for item in found:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            if "/" in item or _HOST.fullmatch(item) is None:
                raise ValueError("networks (10.0.0.0/8, fd00::/8) or host names, separated by commas") from error
    return found


def _hosts(value: object) -> tuple[str, ...]:
    """Read networks and names, and ``*`` alone or as the first label."""
    found = tuple(_items(value))
    try:
        _networks([item.removeprefix("*.") for item in found if item != "*"])
    except ValueError as error:
        raise ValueError("host names, *.example.com, * or networks (10.0.0.0/8), separated by commas") from error
    return found


def _patterns(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    if not all(re.fullmatch(r"!?[^\s!]+", item) for item in found):
        raise ValueError("patterns such as example/* or !example/group/name/1.0, separated by commas")
    return found


def _names(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", item) for item in found):
        raise ValueError("names of environment variables, separated by commas")
    return found


def _failures(value: object) -> tuple[tuple[str, str], ...]:
    """Read ``fail, proof.verify=value``; a word alone is for all functions."""
    wanted = "fail, undefined or value, and name=word for single functions, separated by commas"
    if isinstance(value, Mapping):
        value = [f"{name}={word}" for name, word in value.items()]
    found = []
    for item in _items(value):
        name, _, word = (part.strip() for part in (item if "=" in item else f"*={item}").rpartition("="))
        if word not in {"fail", "undefined", "value"} or not re.fullmatch(r"[\w.*?]+", name):
            raise ValueError(wanted)
        found.append((name, word))
    return tuple(found)


def _entry_points(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    if not all(re.fullmatch(r"[\w.*?\[\]-]+", item) for item in found):
        raise ValueError("names of entry points, separated by commas; * is all")
    return found


def _paths(value: object) -> tuple[Path, ...]:
    return tuple(_path(item) for item in _items(value))


def _issuers(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    wanted = "addresses or did:web names, each with =repository|repository if it may write only those"
    if isinstance(value, Mapping):
        value = [f"{name}={'|'.join(_items(listed))}" for name, listed in value.items()]
    found = []
    for item in _items(value):
        name, _, listed = (part.strip() for part in item.partition("="))
        parts = urlsplit(name)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        if not is_url and not re.fullmatch(r"did:web:[A-Za-z0-9.%-]+(:[A-Za-z0-9._%-]+)*", name):
            raise ValueError(wanted)
        found.append((name, tuple(part.strip() for part in listed.split("|") if part.strip())))
    return tuple(found)


def _url(value: object) -> str:
    text = _text(value).rstrip("/")
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("an address such as https://policy.example.com")
    if "@" in parts.netloc:  # addresses are shown
        raise ValueError("an address without user and password")
    return text


def _sinks(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    for item in found:
        parts = urlsplit(item)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("http or https addresses, separated by commas")
    return found


def _nats(value: object) -> tuple[str, ...]:
    """Read the servers of one cluster; a bare ``host:port`` is what the policy service took too."""
    found = tuple(item if "://" in item else f"nats://{item}" for item in _items(value))
    for item in found:
        parts = urlsplit(item)
        if parts.scheme not in {"nats", "tls"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("nats://host:port or tls://host:port, several separated by commas")
    return found


def _subject(value: object) -> str:
    text = _text(value)
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
    return tuple(dict.fromkeys(_items(value)))


def _storage(value: object) -> str:
    text = _text(value)
    if text not in {"", "memory:"} and not any(text.startswith(kind) and text != kind for kind in _STORES):
        raise ValueError("empty, memory:, sqlite:///path, postgresql://user:password@host/database or mongodb://…")
    return text


def _address(value: object) -> str:
    text = _text(value)
    _host, colon, port = text.rpartition(":")
    if text and not (colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("empty, or host:port (:2112 listens everywhere)")
    return text


def _host(value: object) -> str:
    text = _text(value).strip("[]")
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        if text and _HOST.fullmatch(text) is None:
            raise ValueError("an address or a host name; empty means all interfaces") from error
    return text


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_items(value))


def _urls(value: object) -> tuple[str, ...]:
    return tuple(_url(item) for item in _items(value))


def _algorithms(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    if not found or not set(found) <= set(ALGORITHMS):
        raise ValueError(f"some of {', '.join(ALGORITHMS)}")
    return found


def _addresses(value: object) -> tuple[str, ...]:
    found = tuple(_items(value))
    try:
        for item in found:
            ipaddress.ip_network(item, strict=False)
    except ValueError as error:
        raise ValueError("addresses or networks (10.0.0.0/8, fd00::/8), separated by commas") from error
    return found


def _scopes(value: object) -> tuple[str, ...]:
    texts = value.split() if isinstance(value, str) and "," not in value else _items(value)
    return tuple(str(parse_grant(text)) for text in texts)


def _certificates(value: object) -> str:
    if isinstance(value, Mapping):
        value = "; ".join(f"{identity} => {scopes}" for identity, scopes in value.items())
    text = _text(value)
    parse_known(text)
    return text


def _secret(value: object) -> SecretStr | None:
    text = _text(value)
    return SecretStr(text) if text else None


def _header(value: object) -> str:
    text = _text(value)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text) is None:
        raise ValueError("the name of a header")
    return text


TEXT: Final = Kind("text", _text)
TEXTS: Final = Kind("texts, separated by commas", _texts)
URLS: Final = Kind("`http://` or `https://` addresses, separated by commas", _urls)
ALGORITHM_NAMES: Final = Kind("names of algorithms (RFC 7518), separated by commas", _algorithms)
ADDRESSES: Final = Kind("addresses or networks (`10.0.0.0/8`), separated by commas", _addresses)
SCOPES: Final = Kind("scopes such as `evaluate` or `read:repository`, separated by spaces", _scopes)
CERTIFICATES: Final = Kind(
    "`subject => scopes`, several separated by `;` or lines (a table in the file)", _certificates
)
SECRET: Final = Kind("text", _secret)
HEADER: Final = Kind("the name of a header", _header)
SWITCH: Final = Kind("`true` or `false`", _yes_or_no)
PATH: Final = Kind("a path", _path)
OPTIONAL_PATH: Final = Kind("a path, or empty", _optional_path)
FOLDERS: Final = Kind("`repository=path` pairs, separated by commas (a table in the file)", _folders)
CREDENTIALS: Final = Kind("`user:password`, several separated by commas or one a line", _credentials)
NETWORKS: Final = Kind("networks (`10.0.0.0/8`) or host names, separated by commas", _networks)
HOSTS: Final = Kind("host names, `*.example.com`, networks or `*`, separated by commas", _hosts)
PATTERNS: Final = Kind("`repository/group/name/version` with `*` for anything, separated by commas", _patterns)
NAMES: Final = Kind("names of environment variables, separated by commas", _names)
FAILURES: Final = Kind(
    "`fail`, `undefined` or `value`, and `name=word` for single functions (`*` for anything), separated by commas",
    _failures,
)
ENTRY_POINTS: Final = Kind("names of entry points, separated by commas; `*` is all", _entry_points)
PATHS: Final = Kind("paths, separated by commas", _paths)
ISSUERS: Final = Kind(
    "`https://…` or `did:web:…`, separated by commas; `=repository|repository` after one names what it may write "
    "(a table of lists in the file)",
    _issuers,
)
URL: Final = Kind("an `http://` or `https://` address, or empty", _url)
SINKS: Final = Kind("`http://` or `https://` addresses, separated by commas", _sinks)
NATS: Final = Kind("`nats://host:port` or `tls://host:port`, several separated by commas", _nats)
SUBJECT: Final = Kind("a NATS subject without wildcards", _subject)
ADDRESS: Final = Kind("`host:port`, or empty", _address)
HOST: Final = Kind("an address or a host name; empty means all interfaces", _host)
STORAGE: Final = Kind(
    "empty, `sqlite:///path`, `postgresql://user:password@host:port/database`, `mongodb://host:port/database` "
    "or `memory:`",
    _storage,
)
POLICY: Final = Kind("`repository/group/name/version`", _policy)
OPTIONAL_POLICY: Final = Kind("`repository/group/name/version`, or empty", _optional_policy)
REPOSITORIES: Final = Kind("names of repositories, separated by commas", _repositories)


@runtime_checkable
class Written(Protocol):
    """A value that knows how it is written."""

    def written(self, *, secrets: bool) -> str:
        """Return the text its reader takes; secrets are covered unless asked for."""


def shown(value: object) -> str:
    """Write a value the way its reader takes it, secrets included."""
    if isinstance(value, Written):
        return value.written(secrets=True)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list | tuple):
        return ",".join(_pair(item) if isinstance(item, tuple) else str(item) for item in value)
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def covered(value: object) -> str:
    """Write a secret for people: an address without its password, tables without theirs, anything else not at all."""
    if isinstance(value, Written):
        return value.written(secrets=False)
    if isinstance(value, str) and value.startswith((*_STORES, "memory:")):
        return _SECRET_PART.sub(rf"\1={COVERED}", _PASSWORD.sub(rf"\1:{COVERED}", value))
    return COVERED if value else shown(value)


def _pair(pair: tuple[object, object]) -> str:
    key, value = pair
    if isinstance(value, tuple):
        return f"{key}={'|'.join(value)}" if value else str(key)
    return f"{key}:{value.get_secret_value()}" if isinstance(value, SecretStr) else f"{key}={value}"


def short(value: object) -> str:
    """Quote what was given, for a message; long values are cut."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ",".join(value)  # options that were repeated, as a variable would hold them
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 60 else text[:57] + "…")
