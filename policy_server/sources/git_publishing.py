"""Makes the policies in the store those of a commit: all checked and compiled aside, then published in one go."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from policy_server.model.errors import InvalidSource, PolicyNotFound, PolicyServerError, PublishError, ToolkitError
from policy_server.model.policy import (
    CompiledPolicy,
    Dialect,
    Manifest,
    PolicyFilter,
    PolicyId,
    PolicyRecord,
    PolicySource,
)
from policy_server.ports import PolicyStore
from policy_server.publishing.batch import Gone, Prepared, Refused
from policy_server.publishing.checks import tidy
from policy_server.publishing.digest import source_digest, text_digest
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.standing import belongs_to, record_of, records
from policy_server.sources.git_config import Deleted, GitRepository
from policy_server.sources.git_pack import Objects
from policy_server.sources.git_transport import Alive
from policy_server.sources.git_tree import GitPolicy, Tree, read
from policy_server.sources.report import Failed

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What became of every policy."""

    published: list[PolicyId] = field(default_factory=list)
    unchanged: list[PolicyId] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    deleted: list[PolicyId] = field(default_factory=list)
    kept: list[PolicyId] = field(default_factory=list)
    marked: list[PolicyId] = field(default_factory=list)

    def __str__(self) -> str:
        """Count, for a log."""
        names = ("published", "unchanged", "failed", "deleted", "kept", "marked")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in names if getattr(self, name)) or "no policies"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a policy was when it was last looked at; ``failure`` is why it could not be published."""

    policy: GitPolicy
    digest: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A policy that was compiled and waits for the others."""

    policy: GitPolicy
    digest: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Refused:
    """A policy that could not be compiled."""

    policy: GitPolicy
    digest: str
    error: PolicyServerError


class Shelf:
    """Keeps compiled modules in an open file: those of five thousand policies would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        """Take the file."""
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._made: dict[tuple[str, Dialect, str], Manifest] = {}

    def find(self, source: PolicySource) -> CompiledPolicy | None:
        """Return what was made of the same Rego for the same package: versions often differ in their data only."""
        manifest = self._made.get((source.id.entrypoint, source.dialect, text_digest(source.rego)))
        return None if manifest is None else self.take(manifest)

    def put(self, source: PolicySource, compiled: CompiledPolicy) -> None:
        """Keep a module; the same one again costs nothing."""
        self._made[source.id.entrypoint, source.dialect, text_digest(source.rego)] = compiled.manifest
        if compiled.manifest.digest not in self._places:
            self._places[compiled.manifest.digest] = (self._file.seek(0, 2), len(compiled.wasm))
            self._file.write(compiled.wasm)

    def take(self, manifest: Manifest) -> CompiledPolicy:
        """Return a module that was kept."""
        place, size = self._places[manifest.digest]
        self._file.seek(place)
        return CompiledPolicy(self._file.read(size), manifest)


@dataclass(frozen=True, slots=True)
class _Missing:
    """Policies that are not in the repository any more, by what is to be done about them."""

    deleted: list[PolicyId] = field(default_factory=list)
    marked: list[PolicyId] = field(default_factory=list)


class GitPublishing:
    """Remembers what was published of one repository; one thread at a time."""

    def __init__(self, repository: GitRepository, publisher: SourcePublisher, store: PolicyStore) -> None:
        """Take the collaborators; nothing is read yet."""
        self._repository = repository
        self._publisher = publisher
        self._store = store
        self._seen: dict[PolicyId, _Seen] = {}
        self._mine: set[PolicyId] | None = None  # what may have to be deleted one day
        self._stamp = 0
        self.unsettled = True
        """Whether the same commit must be looked at again: the compiler was at fault, or we were interrupted."""

    def has_drifted(self) -> bool:
        """Tell whether somebody else changed one of the policies since they were looked at; StoreUnavailable."""
        stamp = self._store.stamp()
        changed = {change.id for change in self._store.changes(self._stamp)}
        if any(self._differs(self._seen[policy]) for policy in changed & self._seen.keys()):
            return True
        self._stamp = stamp
        return False

    def take(self, commit: str, tree: Tree, objects: Objects, shelf: Shelf, alive: Alive) -> Outcome:
        """Publish what is new, refuse what is broken, see to what is gone.

        A policy that is broken keeps its last good revision; the others go on.

        Raises:
            StoreUnavailable: what was not written yet is written the next time.
        """
        self.unsettled = True
        stamp = self._store.stamp()
        changed = {change.id for change in self._store.changes(self._stamp)}
        outcome = Outcome()
        again = False
        waiting: list[_Ready | _Refused] = []
        for policy in (tree.policies[each] for each in sorted(tree.policies)):
            alive()
            try:
                made = self._prepare(policy, commit, objects, shelf, outcome, touched=policy.id in changed)
            except ToolkitError as error:
                again = True  # not the source's fault: tried again next time
                outcome.failed.append(Failed(policy.id, error.message))
            else:
                waiting += [] if made is None else [made]
        alive()
        self._write(
            waiting, self._missing(set(tree.policies), outcome), _Reader(self._origin, commit, objects, shelf), outcome
        )
        self._stamp = stamp
        self.unsettled = again
        return outcome

    def _prepare(
        self, policy: GitPolicy, commit: str, objects: Objects, shelf: Shelf, outcome: Outcome, *, touched: bool
    ) -> _Ready | _Refused | None:
        """Compile a policy unless nothing about it is new; ToolkitError."""
        seen = self._seen.get(policy.id)
        if seen is not None and not touched and seen.policy == policy:
            self._note(seen, outcome)
            return None
        digest = ""
        try:
            source = tidy(read(objects, policy, origin=self._origin(policy, commit)))
            digest = source_digest(source)
            if self._is_active(policy.id, digest):
                self._note(_Seen(policy, digest, None), outcome)
                return None
            if seen is not None and seen.failure is not None and seen.digest == digest:
                self._note(_Seen(policy, digest, seen.failure), outcome)
                return None
            compiled = self._publisher.compile(source, known=shelf.find(source))
        except PublishError as error:
            return _Refused(policy, digest or hashlib.sha256(error.message.encode(errors="replace")).hexdigest(), error)
        shelf.put(source, compiled)
        return _Ready(policy, digest, compiled.manifest)

    def _write(
        self, waiting: Sequence[_Ready | _Refused], missing: _Missing, reader: "_Reader", outcome: Outcome
    ) -> None:
        """Make the whole commit what answers, or nothing of it."""
        ready = {made.policy.id: made for made in waiting if isinstance(made, _Ready)}
        refused = {made.policy.id: made for made in waiting if isinstance(made, _Refused)}
        done = self._publisher.publish_all(
            [Prepared(policy, partial(reader.load, made)) for policy, made in ready.items()],
            [Refused(policy, made.error, made.digest) for policy, made in refused.items()]
            + [Refused(policy, self._gone(), "") for policy in missing.marked],
            Gone(missing.deleted, self._is_mine),
            author=self._repository.author,
        )
        for each in done.unfit:
            made = ready.pop(each.id)
            refused[each.id] = _Refused(made.policy, each.digest, each.error)
        for policy, made in ready.items():
            self._seen[policy] = _Seen(made.policy, made.digest, None)
            (outcome.published if policy in done.published else outcome.unchanged).append(policy)
        for failed in refused.values():
            self._note(_Seen(failed.policy, failed.digest, failed.error.message), outcome)
        outcome.deleted += done.deleted

    def _note(self, seen: _Seen, outcome: Outcome) -> None:
        """Remember a policy that was not published now."""
        self._seen[seen.policy.id] = seen
        if seen.failure is None:
            outcome.unchanged.append(seen.policy.id)
        else:
            outcome.failed.append(Failed(seen.policy.id, seen.failure))

    def _missing(self, present: set[PolicyId], outcome: Outcome) -> _Missing:
        """Tell what is to be done about policies that came from this repository and are not in it any more."""
        if self._mine is None:
            self._mine = set(self._listed())
        self._mine |= present
        missing = _Missing()
        for policy in sorted(self._mine - present):
            self._seen.pop(policy, None)
            if not self._owns(policy):
                self._mine.discard(policy)
            elif self._repository.deleted is Deleted.KEEP:
                outcome.kept.append(policy)
            elif self._repository.deleted is Deleted.MARK:
                missing.marked.append(policy)
            else:
                missing.deleted.append(policy)
        outcome.marked += missing.marked
        return missing

    def _gone(self) -> InvalidSource:
        name = self._repository.name
        return InvalidSource(f"is no longer in the Git repository {name}; its last revision answers")

    def _origin(self, policy: GitPolicy, commit: str) -> str:
        return f"{self._repository.author}/{policy.directory}@{commit}"

    def _differs(self, seen: _Seen) -> bool:
        return seen.failure is None and not self._is_active(seen.policy.id, seen.digest)

    def _is_active(self, policy: PolicyId, digest: str) -> bool:
        """Tell whether the store has this very source as active revision, and no failure since."""
        try:
            record = self._store.get(policy)
        except PolicyNotFound:
            return False
        active = record.revision
        return active is not None and record.failure is None and source_digest(active.source) == digest

    def _owns(self, policy: PolicyId) -> bool:
        """Tell whether a policy came from this repository, or never got anywhere."""
        record = record_of(self._store, policy)
        return record is not None and self._is_mine(record)

    def _is_mine(self, record: PolicyRecord) -> bool:
        return belongs_to(record, self._repository.author)

    def _listed(self) -> Iterator[PolicyId]:
        """Yield the policies the store has of this repository; asked for once, because it reads them whole."""
        return (record.id for record in records(self._store, PolicyFilter(repository=self._repository.name)))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a policy of one commit again.

    PERF: rather than keep the data of all policies in memory.
    """

    origin: Callable[[GitPolicy, str], str]
    commit: str
    objects: Objects
    shelf: Shelf

    def load(self, made: _Ready) -> tuple[PolicySource, CompiledPolicy]:
        """Return the source as it is published, and what was made of it."""
        source = read(self.objects, made.policy, origin=self.origin(made.policy, self.commit))
        return tidy(source), self.shelf.take(made.manifest)
