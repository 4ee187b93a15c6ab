"""Files and directories."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from policy_server.notation.kinds import Kind, as_text, items


def _path(value: object) -> Path:
    text = as_text(value)
    if not text or "\0" in text:
        raise ValueError("a path")
    return Path(text).expanduser()


def _optional_path(value: object) -> Path | None:
    return _path(value) if value != "" else None


def _folders(value: object) -> tuple[tuple[str, Path], ...]:
    wanted = "repository=path pairs, separated by commas"
    if isinstance(value, Mapping):
        value = [f"{repository}={path}" for repository, path in value.items()]
    pairs = []
    for item in items(value):
        repository, equals, path = (part.strip() for part in item.partition("="))
        if not (equals and path and re.fullmatch(r"[\w.-]+", repository)):
            raise ValueError(wanted)
        pairs.append((repository, Path(path).expanduser()))
    return tuple(pairs)


def _paths(value: object) -> tuple[Path, ...]:
    return tuple(_path(item) for item in items(value))


PATH: Final = Kind("a path", _path)
OPTIONAL_PATH: Final = Kind("a path, or empty", _optional_path)
FOLDERS: Final = Kind("`repository=path` pairs, separated by commas (a table in the file)", _folders)
PATHS: Final = Kind("paths, separated by commas", _paths)
