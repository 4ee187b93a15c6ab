"""What is set about a Git repository, and how it is written."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from policy_server.model.errors import FetchError
from policy_server.notation import choices, credentials, numbers, paths, texts, writing
from policy_server.notation.credentials import SecretStr
from policy_server.notation.kinds import Kind

_SCHEMES: Final = ("https", "http", "ssh", "git")
_SCP: Final = re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/\\:][^:]*)")
NAME: Final = re.compile(r"[\w][\w.-]{0,99}")
"""What tables are called."""

_WANTED: Final = 'repositories by name, each with at least a url: {"policies": {"url": "https://…"}}, or name=url pairs'


class Deleted(StrEnum):
    """What becomes of policies that are gone from Git: removed, kept as they are, or kept and listed as stale."""

    DELETE = "delete"
    KEEP = "keep"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, or the file it is in, which is read each time so that it can be changed."""

    text: SecretStr | None = None
    file: Path | None = None

    def __bool__(self) -> bool:
        """Tell whether there is one."""
        return self.text is not None or self.file is not None

    def read(self) -> str:
        """Return the text, without the end of its last line; FetchError when its file cannot be read."""
        if self.text is not None:
            return self.text.get_secret_value()
        if self.file is None:
            return ""
        try:
            return self.file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise FetchError(f"the secret in {self.file} cannot be read ({reason})") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRepository:
    """One repository.

    ``branch`` empty means the one the server calls its head, ``folder`` empty the whole tree.
    ``token`` goes with ``user``, or with ``x-access-token``. ``ssh_key`` and ``known_hosts`` are files for ssh.
    ``interval`` is in seconds.
    """

    name: str
    url: str
    branch: str = ""
    folder: str = ""
    user: str = ""
    password: Secret = field(default_factory=Secret)
    token: Secret = field(default_factory=Secret)
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    interval: float = 60.0
    deleted: Deleted = Deleted.DELETE
    hook_secret: Secret = field(default_factory=Secret)

    @property
    def author(self) -> str:
        """Who publishes what comes from here."""
        return f"git:{self.name}"


@dataclass(frozen=True, slots=True)
class GitRepositories:
    """All repositories; written as JSON."""

    items: tuple[GitRepository, ...] = ()

    def written(self, *, secrets: bool) -> str:
        """Return the JSON its reader takes; secrets are covered unless asked for."""
        if not self.items:
            return ""
        return json.dumps({item.name: dict(_written(item, secrets=secrets)) for item in self.items})


def read_repositories(value: object) -> GitRepositories:
    """Read tables, JSON, or ``name=url`` pairs; ValueError."""
    if isinstance(value, str):
        value = _parse(value.strip())
    if not isinstance(value, Mapping):
        raise ValueError(_WANTED)  # noqa: TRY004 - what readers of settings raise
    return GitRepositories(tuple(_repository(str(name), table) for name, table in value.items()))


GIT: Final = Kind(
    "tables by name in the file; in the variable the same as JSON, or `name=url` pairs", read_repositories
)


def clashes(git: object, folders: object) -> list[str]:
    """Return a sentence for every name that Git and something else would both publish under."""
    if not isinstance(git, GitRepositories):
        return []
    taken = {"bundled", *(name for name, _ in cast("tuple[tuple[str, Path], ...]", folders or ()))}
    return [
        f"the Git repository {item.name} has the name of a folder or of the bundled policies; choose another"
        for item in git.items
        if item.name in taken
    ]


def _parse(text: str) -> object:
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(_WANTED) from error
    pairs = [item.strip().partition("=") for item in re.split(r"[,\n]", text) if item.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise ValueError(_WANTED)
    return {name.strip(): {"url": url.strip()} for name, _, url in pairs}


def _repository(name: str, table: object) -> GitRepository:
    if not NAME.fullmatch(name):
        raise ValueError(f"repositories whose names are letters, digits, _, . and -, unlike {writing.short(name)}")
    if isinstance(table, str):
        table = {"url": table}
    if not isinstance(table, Mapping) or "url" not in table:
        raise ValueError(_WANTED)
    given = dict(cast(Mapping[str, object], table))
    values: dict[str, object] = {}
    for key, kind in _KINDS.items():
        if key in given:
            try:
                values[key] = kind.read(given.pop(key))
            except ValueError as error:
                raise ValueError(f"right about {key} of {name}, which must be {error}") from error
    for key in _SECRETS:
        values[key] = _secret(name, key, given)
    if given:
        raise ValueError(f"made of {', '.join([*_KINDS, *_SECRETS])}; {name} has {', '.join(sorted(map(str, given)))}")
    made = GitRepository(name=name, **values)  # type: ignore[arg-type] # each was read by its kind
    _check(made)
    return made


def _secret(name: str, key: str, given: dict[str, object]) -> Secret:
    text, file = given.pop(key, None), given.pop(f"{key}_file", None)
    if text is not None and file is not None:
        raise ValueError(f"given {key} or {key}_file for {name}, not both")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"given {key} of {name} as text")
    return Secret(SecretStr(text) if text else None, paths.PATH.read(file) if file else None)


def _check(made: GitRepository) -> None:
    """Refuse what does not go together."""
    ssh = urlsplit(made.url).scheme == "ssh"
    if made.token and made.password:
        raise ValueError(f"given a token or a password for {made.name}, not both")
    if made.ssh_key is not None and not ssh:
        raise ValueError(f"given ssh_key of {made.name} with an ssh:// address only")
    if (made.token or made.password) and not made.url.startswith(("https://", "http://")):
        raise ValueError(f"given a token or password of {made.name} with an https:// address only")


def _url(value: object) -> str:
    """Read an address; no local files, no helper programs, no secrets inside."""
    text = str(value).strip()
    wanted = "an https://, http://, ssh:// or git:// address, or user@host:path, without a password in it"
    scp = _SCP.fullmatch(text)
    if "://" not in text and scp is not None:
        user = f"{scp['user']}@" if scp["user"] else ""
        text = f"ssh://{user}{scp['host']}/~/{scp['path']}"
    parts = urlsplit(text)
    try:
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine = False
    host = parts.hostname or ""
    if (
        parts.scheme not in _SCHEMES
        or not host
        or host.startswith("-")
        or (parts.username or "").startswith("-")
        or parts.password is not None
        or (parts.username is not None and parts.scheme != "ssh")
        or not port_is_fine
        or parts.query
        or parts.fragment
        or not parts.path.strip("/")
        or any(ord(letter) < 33 or ord(letter) == 127 for letter in unquote(text))
    ):
        raise ValueError(wanted)
    return text


def _folder(value: object) -> str:
    text = str(value).strip().strip("/")
    if "\\" in text or any(part in {"", ".", ".."} for part in text.split("/") if text):
        raise ValueError("a path inside the repository, such as policies/production")
    return text


def _branch(value: object) -> str:
    text = str(value).strip().removeprefix("refs/heads/")
    if text and (not re.fullmatch(r"[^\s~^:?*\[\\\x00-\x20\x7f]+", text) or ".." in text or text.startswith("-")):
        raise ValueError("the name of a branch")
    return text


_KINDS: Final[Mapping[str, Kind[object]]] = {
    "url": Kind("", _url),
    "branch": Kind("", _branch),
    "folder": Kind("", _folder),
    "user": cast(Kind[object], texts.TEXT),
    "ssh_key": cast(Kind[object], paths.PATH),
    "known_hosts": cast(Kind[object], paths.PATH),
    "interval": cast(Kind[object], numbers.duration(1, 86400)),
    "deleted": cast(Kind[object], choices.choice(*Deleted).then(Deleted)),
}
_SECRETS: Final = ("password", "token", "hook_secret")


def _written(item: GitRepository, *, secrets: bool) -> Iterable[tuple[str, str]]:
    plain = GitRepository(name=item.name, url=item.url)
    for key in _KINDS:
        value = getattr(item, key)
        if key == "url" or value != getattr(plain, key):
            yield key, writing.shown(value)
    for key in _SECRETS:
        secret: Secret = getattr(item, key)
        if secret.file is not None:
            yield f"{key}_file", str(secret.file)
        elif secret.text is not None:
            yield key, secret.text.get_secret_value() if secrets else credentials.COVERED
