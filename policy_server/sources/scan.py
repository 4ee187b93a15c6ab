"""Finds policy directories under a folder and reads their files."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from policy_server.model.errors import InvalidSource, Problem
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.publishing.checks import check_size
from policy_server.publishing.digest import DATA, DATA_CONFIG, EXPORT_CONFIG, OUTPUT_SCHEMA, REGO
from policy_server.publishing.document import invalid
from policy_server.sources.report import Skipped

# NOTE: without O_NONBLOCK a pipe with the name of a policy would stop the feed for ever.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_FILES: Final = (REGO, DATA, DATA_CONFIG, OUTPUT_SCHEMA, EXPORT_CONFIG)


@dataclass(frozen=True, slots=True)
class Found:
    """A policy directory: which policy it is, where it lies, and which of the files are there."""

    id: PolicyId
    directory: Path
    root: Path
    names: frozenset[str]

    @property
    def origin(self) -> str:
        """Where the source came from, for messages and to know it again."""
        return f"folder:{self.id.repository}/{self.directory.relative_to(self.root).as_posix()}"


@dataclass(slots=True)
class Scan:
    """What lies under a folder; not complete when part of it could not be seen."""

    found: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    complete: bool = True


def scan(repository: str, folder: Path) -> Scan:
    """Find every ``…/{group}/{name}/{version}/policy.rego``, in sorted order.

    Hidden directories are not looked into, links to directories not followed.
    A folder that is gone, or has nothing in it at all (an unmounted volume
    looks like that), is not complete: nothing is concluded from it.
    """
    seen = Scan()
    try:
        root = folder.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return Scan(
            skipped=[Skipped(show(folder), "does not exist; policies published from it are kept")], complete=False
        )

    def fail(error: OSError) -> None:
        seen.complete = False
        seen.skipped.append(Skipped(show(Path(error.filename or root)), f"cannot be read ({error.strerror})"))

    empty = True
    for directory, names in _walk(root, fail, seen):
        empty = False
        if REGO in names:
            _add(seen, repository, root, directory, frozenset(names).intersection(_FILES))
        else:
            seen.skipped += [
                Skipped(show(directory / name), f"has no {REGO} beside it")
                for name in sorted(names)
                if name.endswith(".rego") or name in _FILES
            ]
    if empty and seen.complete:
        seen.complete = False
        seen.skipped.append(Skipped(show(root), "is empty; policies published from it are kept"))
    return seen


def read(found: Found) -> PolicySource | None:
    """Read a policy directory; None when its Rego has just gone.

    InvalidSource when one of its files cannot be taken as it is.
    One unusable file makes the whole policy unusable: a policy without the
    data its author wrote for it would decide something else.
    """
    texts: dict[str, str | None] = {}
    problems: list[Problem] = []
    for name in _FILES:
        try:
            texts[name] = _text(found, name) if name in found.names else None
        except InvalidSource as error:
            problems.extend(error.problems)
    if problems:
        raise invalid(*problems)
    rego = texts[REGO]
    if rego is None:
        return None
    return PolicySource(
        id=found.id,
        rego=rego,
        data=texts[DATA],
        data_config=texts[DATA_CONFIG],
        output_schema=texts[OUTPUT_SCHEMA],
        export_config=texts[EXPORT_CONFIG],
        origin=found.origin,
    )


def show(path: Path) -> str:
    """Return a path as text that can be printed, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(root: Path, fail: Callable[[OSError], None], seen: Scan) -> Iterator[tuple[Path, list[str]]]:
    """Yield directories that are not hidden and not empty, with the names in them."""
    for directory, inner, names in os.walk(root, onerror=fail):
        here = Path(directory)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in inner:
            if (here / name).is_symlink():
                seen.skipped.append(Skipped(show(here / name), "links to directories are not followed"))
        if inner or names:
            yield here, [*names, *inner]


def _add(seen: Scan, repository: str, root: Path, directory: Path, names: frozenset[str]) -> None:
    where = directory.relative_to(root).parts
    path = directory / REGO
    if len(where) < 3:
        seen.skipped.append(Skipped(show(path), "lies too high: it must be {group}/{policy}/{version}/policy.rego"))
    elif any(not _printable(part) for part in where[-3:]):
        seen.skipped.append(Skipped(show(path), "its directories have names that are not UTF-8"))
    else:
        seen.found.append(Found(PolicyId(repository, *where[-3:]), directory, root, names))


def _printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(found: Found, name: str) -> str | None:
    """Read one file; None when it has just gone."""
    path = found.directory / name
    try:
        content = _content(_open(path, found.root), name)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise invalid(Problem("is a link to nothing", name)) from error
        return None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "links in a circle"
        raise invalid(Problem(f"cannot be read ({reason})", name)) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise invalid(Problem("is not UTF-8", name, line)) from error


def _open(path: Path, root: Path) -> int:
    """Open a file, or the file inside the root that a link leads to; returns the descriptor."""
    try:
        return os.open(path, _FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    target = path.resolve(strict=True)
    if not target.is_relative_to(root):
        raise invalid(Problem("is a link that leaves the folder", path.name))
    return os.open(target, _FLAGS | os.O_NOFOLLOW)


def _content(descriptor: int, name: str) -> bytes:
    """Read an open file and close it; InvalidSource when it is too large, or no file."""
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise invalid(Problem("is not a file", name))
        check_size(name, about.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(about.st_size + 1)
        check_size(name, len(content))
        return content
    finally:
        os.close(descriptor)
