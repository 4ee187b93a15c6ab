"""Finds policies by the package they have, for callers who name neither repository nor version."""

import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from policy_server.model.errors import Ambiguous, StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.ports import PolicyStore

_NUMBERED: Final = re.compile(r"v?(\d{1,9}(?:\.\d{1,9})*)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?", re.IGNORECASE)
_Package = tuple[str, str]

QUIET: Final = 1.0
"""Seconds without asking after the store was found away, as the catalog's."""

PATIENCE: Final = 0.1
"""Seconds to wait for who is asking the store already."""


class Versions:
    """Knows which policies were ever good, by group and name; follows the store's changes.

    PERF: an index over ids alone. Asking the store costs what its stamp costs
    while nothing changes, and the changes since then when something did.
    """

    def __init__(self, store: PolicyStore, repositories: Collection[str] = ()) -> None:
        """Take the store, and the repositories that count; none means all."""
        self._store = store
        self._repositories = frozenset(repositories)
        self._stamp = -1
        self._known: Mapping[_Package, frozenset[PolicyId]] = {}
        self._turn = threading.Lock()
        self._quiet_until = 0.0

    def find(
        self, group: str, name: str, *, repository: str | None = None, version: str | None = None
    ) -> PolicyId | None:
        """Return the highest version of a policy, None when there is none.

        Where one exists, a version without a pre-release tag is meant.

        Raises:
            Ambiguous: it is in several repositories, or two versions are equally high.
        """
        self.follow()
        found = [
            policy
            for policy in self._known.get((group, name), ())
            if repository in {None, policy.repository} and version in {None, policy.version}
        ]
        if len(found) < 2:
            return found[0] if found else None
        if len({policy.repository for policy in found}) > 1:
            raise _ambiguous(found, "repository")
        candidates = [policy for policy in found if precedence(policy.version).released] or found
        best = max(precedence(policy.version) for policy in candidates)
        highest = [policy for policy in candidates if precedence(policy.version) == best]
        if len(highest) > 1:
            raise _ambiguous(highest, "version")
        return highest[0]

    def follow(self) -> None:
        """Learn what changed; a store that is away leaves what is known.

        Raises:
            StoreUnavailable: it is away, and nothing is known yet.
        """
        if self._stamp >= 0 and time.monotonic() < self._quiet_until:
            return
        # One caller at a time, as in the catalog: a store that hangs costs one of them, not all.
        if not self._turn.acquire(timeout=PATIENCE if self._stamp >= 0 else -1):
            return
        try:
            stamp = self._store.stamp()
            if stamp != self._stamp:
                self._learn(stamp)
        except StoreUnavailable:
            self._quiet_until = time.monotonic() + QUIET
            if self._stamp < 0:
                raise
        finally:
            self._turn.release()

    def _learn(self, stamp: int) -> None:
        # NOTE: the first look asks for all changes: every policy has its latest publication among them.
        since, known = self._stamp, {package: set(policies) for package, policies in self._known.items()}
        if stamp < since:  # another database is in its place
            since, known = -1, {}
        for change in self._store.changes(since):
            policy = change.id
            if self._repositories and policy.repository not in self._repositories:
                continue
            policies = known.setdefault((policy.group, policy.name), set())
            if change.what == "published":
                policies.add(policy)
            elif change.what == "deleted":
                policies.discard(policy)
        self._known = {package: frozenset(policies) for package, policies in known.items() if policies}
        self._stamp = stamp


class Precedence(NamedTuple):
    """What versions are compared by."""

    numbers: tuple[int, ...]
    released: bool
    words: tuple[tuple[int, int, str], ...]


def precedence(version: str) -> Precedence:
    """Return what versions are compared by: semantic versioning 2.0.0, 11, for any number of numbers.

    A leading v and build metadata do not count, nor do zeros at the end; a pre-release
    is below its release. What has no number is below everything that has, and compared as text.
    """
    match = _NUMBERED.fullmatch(version)
    if match is None:
        return Precedence((-1,), released=True, words=_identifiers(version))
    numbers = [int(number) for number in match[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return Precedence(tuple(numbers), match[2] is None, _identifiers(match[2] or ""))


def _identifiers(text: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers are compared as numbers, and are below words."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 10 else (1, 0, part)
        for part in text.split(".")
    )


def _ambiguous(found: Iterable[PolicyId], what: str) -> Ambiguous:
    choices = ", ".join(map(str, sorted(found)[:20]))
    return Ambiguous(f"Several policies fit: {choices}. Say which one with ?{what}=.")
