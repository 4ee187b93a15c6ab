"""The policies that come with the product, compiled before it was shipped.

A bundled policy has its source in ``rego/<group>/<name>/<version>/`` and its
module in ``compiled/<group>/<name>/<version>/``; its data.json is the sample
an installation starts with. No compiler is needed to publish one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from policy_server.audit.journal import Journal
from policy_server.compiler.tree import read_compiled
from policy_server.model.errors import InvalidSource, PolicyNotFound, PolicyServerError
from policy_server.model.policy import CompiledPolicy, PolicyId, PolicySource, Revision
from policy_server.ports import Clock, Store
from policy_server.publishing.checks import check_source, tidy
from policy_server.publishing.digest import revision_digest, source_digest, text_digest
from policy_server.sources.report import Report, Skipped
from policy_server.sources.scan import Found, read, scan, show

REPOSITORY: Final = "bundled"
ORIGIN: Final = "bundled"
"""Author and origin of what was shipped."""

log = logging.getLogger(__name__)


class BundledFeed:
    """Puts the bundled policies into the store.

    ``root`` holds ``rego/`` and ``compiled/``. What an administrator made of
    the data stays, and so does a policy published over a bundled one.
    """

    def __init__(self, root: Path, store: Store, clock: Clock) -> None:
        """Take the directory and the store; nothing is read yet."""
        self._root = root
        self._store = store
        self._clock = clock
        self._journal = Journal(store.audit, clock)

    def seed(self) -> Report:
        """Publish the policies that the store does not have, with their sample data."""
        return self._each(_seed)

    def upgrade(self) -> Report:
        """Seed, and publish new code, or what a newer compiler made of it; the current data stays."""
        return self._each(_upgrade)

    def reset(self) -> Report:
        """Publish everything as it was shipped, sample data included."""
        return self._each(_reset)

    def _each(self, plan: "_Plan") -> Report:
        seen = scan(REPOSITORY, self._root / "rego")
        skipped = list(seen.skipped)
        published: list[PolicyId] = []
        unchanged: list[PolicyId] = []
        for found in seen.found:
            try:
                source, compiled = self._shipped(found)
            except PolicyServerError as error:
                skipped.append(Skipped(show(found.directory), error.message))
                continue
            active = self._active(found.id)
            wanted = plan(source, compiled.manifest.digest, active)
            if wanted is None:
                unchanged.append(found.id)
                continue
            self._publish(source, compiled, wanted.data, active)
            published.append(found.id)
        for item in skipped:
            log.warning("bundled: skipped %s", item, extra={"action": "feed.skipped", "path": item.path})
        return Report(tuple(published), tuple(unchanged), (), tuple(skipped))

    def _shipped(self, found: Found) -> tuple[PolicySource, CompiledPolicy]:
        """Read a source and the module that was made of it."""
        source = read(found)
        if source is None:
            raise InvalidSource("its policy.rego is gone.")
        where = self._root / "compiled" / found.id.group / found.id.name / found.id.version
        compiled = read_compiled(where)
        if compiled.manifest.source_digest != text_digest(source.rego):
            raise InvalidSource("its module was made of other Rego; run scripts/compile.")
        source = tidy(replace(source, origin=ORIGIN))
        check_source(source)
        return source, compiled

    def _active(self, policy: PolicyId) -> Revision | None:
        try:
            return self._store.get(policy).revision
        except PolicyNotFound:
            return None

    def _publish(
        self, source: PolicySource, compiled: CompiledPolicy, data: str | None, active: Revision | None
    ) -> None:
        digest = revision_digest(source, data)
        before = None if active is None else active.digest
        with self._journal.change("publish", source.id, actor=ORIGIN, before=before, after=digest):
            revision = self._store.publish(source, compiled, data=data, digest=digest, author=ORIGIN, at=self._clock())
        fields = {"action": "publish.published", "policy": str(source.id), "revision": revision.number}
        log.info("%s: revision %d is the one that was shipped", source.id, revision.number, extra=fields)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The data to publish with."""

    data: str | None


_Plan = Callable[[PolicySource, str, Revision | None], _Wanted | None]
"""Gets the shipped source, the digest of its module, and what is active."""


def _seed(shipped: PolicySource, _module: str, active: Revision | None) -> _Wanted | None:
    return _Wanted(shipped.data) if active is None else None


def _upgrade(shipped: PolicySource, module: str, active: Revision | None) -> _Wanted | None:
    if active is None:
        return _Wanted(shipped.data)
    same = (_code(active.source), active.manifest.digest) == (_code(shipped), module)
    if active.source.origin != ORIGIN or same:
        return None
    return _Wanted(active.data)


def _reset(shipped: PolicySource, _module: str, active: Revision | None) -> _Wanted | None:
    same = active is not None and active.digest == revision_digest(shipped, shipped.data)
    return None if same else _Wanted(shipped.data)


def _code(source: PolicySource) -> str:
    """Return the digest of all but the sample data."""
    return source_digest(replace(source, data=None))
