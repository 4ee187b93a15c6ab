"""What was given for settings, and by whom: defaults of the machine, a file, the environment, flags.

Nothing is read as a value yet; problems are appended to a list, so that all are told at once.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policy_server import environment
from policy_server.declaring import About
from policy_server.environment import PREFIX

_MAY_BE_EMPTY: Final = frozenset({"POLICY_HOST", "HTTP_HOST"})


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given, and by whom."""

    value: object
    origin: str


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def defaults(environ: Mapping[str, str]) -> dict[str, Given]:
    """Compute the defaults that depend on the machine."""
    home = Path(environ.get("HOME") or "/")
    state = environ.get("XDG_STATE_HOME") or str(home / ".local" / "state")
    # Not per state directory: making the toolkit's machine code takes half a minute, once for each user is enough.
    cache = environ.get("XDG_CACHE_HOME") or str(home / ".cache")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "state_dir": Given(str(Path(state) / "policy-server"), "default"),
        "cache_dir": Given(str(Path(cache) / "policy-server"), "default"),
        "workers": Given(max(2, min(4, processors)), "default"),
    }


def from_file(path: Path, known: Mapping[str, About], problems: list[str]) -> dict[str, Given]:
    """Read a TOML file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"the configuration file {path} cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"the configuration file {path} is not TOML: {error}")
        return {}
    found = {}
    for key, value in _flatten(content, known):
        if key in known:
            found[key] = Given(value, f"{path}: {key}")
        else:
            problems.append(f"{path} sets {key}, which is no setting{_hint(key, known)}")
    return found


def _flatten(
    content: Mapping[str, object], known: Mapping[str, About], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Join the names of tables to the keys in them: ``[pexip.service] enabled`` is ``pexip_service_enabled``."""
    for key, value in content.items():
        name = f"{prefix}{key}".replace("-", "_")
        if isinstance(value, Mapping) and name not in known:
            yield from _flatten(value, known, f"{name}_")
        else:
            yield name, value


def from_mongo(environ: Mapping[str, str]) -> dict[str, Given]:
    """Read the policy service's names for its database."""
    url = environment.mongo_url(environ)
    return {} if url is None else {"storage_url": Given(url, environment.MONGO)}


def from_git(environ: Mapping[str, str]) -> dict[str, Given]:
    """Read the policy service's names for its Git repository."""
    found = environment.git_repository(environ)
    return {} if found is None else {"git": Given(found[1], found[0])}


def from_environ(environ: Mapping[str, str], known: Mapping[str, About], problems: list[str]) -> dict[str, Given]:
    """Read aliases, then our own names; an empty variable is as good as none, but for the host."""
    given = {name: value for name, value in environ.items() if value != "" or name in _MAY_BE_EMPTY}
    found = {name: Given(given[alias], alias) for alias, name in environment.ALIASES.items() if alias in given}
    for key, value in given.items():
        if not key.startswith(PREFIX) or key in environment.KNOWN or environment.is_service_link(key, value):
            continue
        name = key.removeprefix(PREFIX).lower().replace("__", "_")
        secret = name.removesuffix("_file")
        if name in known:
            found[name] = Given(value, key)
        elif secret in known and known[secret].secret:
            found[secret] = _from_secret_file(key, value, problems)
            if variable(secret) in given:
                problems.append(f"{variable(secret)} and {key} are both set; one is enough")
        else:
            problems.append(f"{key} is no setting{_hint(key, map(variable, known))}")
    return found


def _from_secret_file(key: str, path: str, problems: list[str]) -> Given:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        problems.append(f"the file {path} that {key} names cannot be read")
        return Given("", key)
    # The line end makes it clear that every line is one entry; texts are stripped.
    return Given(text.rstrip("\n") + "\n", key)


def from_flags(overrides: Mapping[str, object], known: Mapping[str, About], problems: list[str]) -> dict[str, Given]:
    """Take flags that were used; None was not."""
    problems += [f"{name} is no setting{_hint(name, known)}" for name in overrides if name not in known]
    return {
        name: Given(value, "--" + name.replace("_", "-"))
        for name, value in overrides.items()
        if value is not None and name in known
    }


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
