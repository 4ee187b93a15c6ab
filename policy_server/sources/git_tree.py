"""Finds the policies in a commit and reads them, straight from Git's objects."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from policy_server.model.errors import FetchError, InvalidSource, Problem
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.publishing.checks import LIMITS, check_size
from policy_server.publishing.digest import DATA, DATA_CONFIG, EXPORT_CONFIG, OUTPUT_SCHEMA, REGO
from policy_server.publishing.document import invalid
from policy_server.sources.git_pack import BLOB, COMMIT, TREE, Objects
from policy_server.sources.report import Skipped

DEEPEST: Final = 32
"""How many directories deep policies may lie."""

_FILES: Final = (REGO, DATA, DATA_CONFIG, OUTPUT_SCHEMA, EXPORT_CONFIG)
_DIRECTORY: Final = 0o040000
_LINK: Final = 0o120000
_MODULE: Final = 0o160000
_KIND: Final = 0o170000
_TREE_LINE: Final = re.compile(rb"tree ([0-9a-f]{40})\n")

Entries = dict[bytes, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class GitPolicy:
    """A policy directory of a commit: which policy it is, where it lies, and the ids of its files by name.

    ``links`` are those of its files that are links or modules: they have no content here.
    """

    id: PolicyId
    directory: str
    files: tuple[tuple[str, bytes], ...]
    links: tuple[str, ...] = ()


@dataclass(slots=True)
class Tree:
    """What a commit holds, and what was left alone."""

    policies: dict[PolicyId, GitPolicy] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


def look(objects: Objects, commit: str, *, repository: str, folder: str, most: int) -> Tree:
    """Find every ``…/{group}/{name}/{version}/policy.rego`` of a commit, in Git's order.

    Hidden directories are not looked into; links and modules are not followed.

    Raises:
        FetchError: the folder is not there, something is broken, or there are more than ``most`` policies.
    """
    head = objects.read(bytes.fromhex(commit), COMMIT)
    line = _TREE_LINE.match(head)
    if line is None:
        raise FetchError(f"commit {commit} cannot be read")
    root = bytes.fromhex(line[1].decode())
    parts = tuple(part for part in folder.split("/") if part)
    for part in parts:
        mode, sha = _entries(objects, root).get(part.encode(), (0, b""))
        if mode & _KIND != _DIRECTORY:
            raise FetchError(f"commit {commit[:12]} has no directory {folder}; the policies are kept as they are")
        root = sha
    found = Tree()
    for directory, entries in _walk(objects, root, parts, found):
        _add(found, repository, directory, entries)
        if len(found.policies) > most:
            raise FetchError(f"there are more than the {most} policies that POLICY_GIT_MAX_POLICIES allows")
    return found


def read(objects: Objects, policy: GitPolicy, *, origin: str) -> PolicySource:
    """Read the files of a policy; InvalidSource when one of them cannot be taken as it is."""
    texts: dict[str, str] = {}
    problems = [Problem("is a link or a module, which are not followed", name) for name in policy.links]
    for name, sha in policy.files:
        try:
            texts[name] = _text(objects, name, sha)
        except InvalidSource as error:
            problems.extend(error.problems or [Problem(error.message, name)])
    if problems:
        raise invalid(*problems)
    return PolicySource(
        id=policy.id,
        rego=texts[REGO],
        data=texts.get(DATA),
        data_config=texts.get(DATA_CONFIG),
        output_schema=texts.get(OUTPUT_SCHEMA),
        export_config=texts.get(EXPORT_CONFIG),
        origin=origin,
    )


def _text(objects: Objects, name: str, sha: bytes) -> str:
    size = objects.size(sha)
    if size is None:
        # The server left it out, or we passed over it, because of its size.
        raise invalid(Problem(f"is larger than the {LIMITS[name]} bytes that are allowed", name))
    check_size(name, size)
    content = objects.read(sha, BLOB)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise invalid(Problem("is not UTF-8", name, line)) from error


def _entries(objects: Objects, sha: bytes) -> Entries:
    """Return the mode and id of everything in a directory, by name; FetchError for names that no directory can have."""
    try:
        listed = {
            bytes(name): (int(mode), _raw(found)) for name, mode, found in parse_tree(objects.read(sha, TREE), 20)
        }
    except (ObjectFormatException, ValueError) as error:
        raise FetchError(f"directory {sha.hex()} cannot be read: {error}") from error
    for name in listed:
        if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
            raise FetchError(f"directory {sha.hex()} holds the name {name!r}, which is not allowed")
    return listed


def _raw(sha: bytes) -> bytes:
    """Return an id as bytes; the library gives them in hex."""
    return bytes.fromhex(sha.decode()) if len(sha) == 40 else sha


def _walk(
    objects: Objects, root: bytes, parts: tuple[str, ...], found: Tree
) -> Iterator[tuple[tuple[str, ...], Entries]]:
    """Yield every directory that is not hidden, with what is in it."""
    waiting = [(parts, root)]
    while waiting:
        where, sha = waiting.pop()
        entries = _entries(objects, sha)
        yield where, entries
        inner = []
        for name, (mode, child) in entries.items():
            path = (*where, name.decode("utf-8", "backslashreplace"))
            if mode & _KIND == _MODULE:
                found.skipped.append(Skipped("/".join(path), "is a submodule, which is not followed"))
            elif mode & _KIND == _LINK and path[-1] not in _FILES:
                found.skipped.append(Skipped("/".join(path), "is a link, which is not followed"))
            elif mode & _KIND != _DIRECTORY or name.startswith(b"."):
                continue
            elif len(path) > DEEPEST:
                found.skipped.append(Skipped("/".join(path), f"lies more than {DEEPEST} directories deep"))
            else:
                inner.append((path, child))
        waiting.extend(reversed(inner))


def _add(found: Tree, repository: str, directory: tuple[str, ...], entries: Entries) -> None:
    names = [name for name in _FILES if entries.get(name.encode(), (_DIRECTORY, b""))[0] & _KIND != _DIRECTORY]
    where = "/".join(directory)
    if REGO not in names:
        if names:
            found.skipped.append(Skipped(where or ".", f"has {', '.join(names)}, but no {REGO}"))
        return
    path = f"{where}/{REGO}" if where else REGO
    if len(directory) < 3:
        found.skipped.append(Skipped(path, "lies too high: it must be {group}/{policy}/{version}/policy.rego"))
    elif any("\\x" in part for part in directory[-3:]):
        found.skipped.append(Skipped(path, "its directories have names that are not UTF-8"))
    else:
        links = tuple(name for name in names if entries[name.encode()][0] & _KIND in {_LINK, _MODULE})
        files = tuple((name, entries[name.encode()][1]) for name in names if name not in links)
        policy = GitPolicy(PolicyId(repository, *directory[-3:]), where, files, links)
        first = found.policies.setdefault(policy.id, policy)
        if first is not policy:
            found.skipped.append(Skipped(path, f"is the policy {policy.id} too; {first.directory} is used"))
