"""Publishes the policies that lie in folders, and follows what happens to them."""

import hashlib
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from policy_server.model.errors import (
    InvalidSource,
    PolicyNotFound,
    PolicyServerError,
    PublishError,
    SettingsError,
    ToolkitError,
)
from policy_server.model.policy import PolicyFilter, PolicyId, PolicyRecord, PolicySource
from policy_server.model.status import State, Status
from policy_server.ports import Clock, PolicyStore
from policy_server.publishing.checks import tidy
from policy_server.publishing.digest import source_digest
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.standing import belongs_to, record_of, records
from policy_server.sources.report import Failed, Report, Skipped
from policy_server.sources.scan import Found, read, scan, show
from policy_server.sources.watch import follow

log = logging.getLogger(__name__)


class FolderFeed:
    """A feed over ``repository, folder`` pairs; one thread at a time.

    What it publishes has the author ``folder:<repository>`` and an origin that
    begins with it; by the origin it knows its own policies again.
    """

    def __init__(
        self,
        folders: Sequence[tuple[str, Path]],
        publisher: SourcePublisher,
        store: PolicyStore,
        *,
        clock: Clock | None = None,
        poll: float = 10.0,
        grace: float = 0.3,
    ) -> None:
        """Take the folders, the publisher and the store.

        ``poll`` seconds pass between two looks where watching does not work,
        ``grace`` seconds before a vanished policy is believed to be gone.
        """
        for repository, folder in folders:
            if not repository or "/" in repository:
                raise SettingsError(f"{repository!r} (for {folder}) cannot be the name of a repository.")
        self._folders = tuple(folders)
        self._publisher = publisher
        self._store = store
        self._clock = clock or (lambda: datetime.now(UTC))
        self._poll = poll
        self._grace = grace
        self._tried: dict[PolicyId, tuple[str, str | None]] = {}  # what was seen last, and how it failed
        self._known: set[PolicyId] = set()  # what may have to be deleted one day
        self._asked: set[str] = set()  # repositories whose policies in the store are among them
        self._missing: frozenset[PolicyId] = frozenset()
        self._warned: frozenset[Skipped] = frozenset()
        self._stamp = 0
        self._status = Status(State.STARTING, "the folders have not been read yet", self._clock())

    def status(self) -> Status:
        """Return whether the folders are followed."""
        return self._status

    def sync(self) -> Report:
        """Look at all folders once and publish what changed; StoreUnavailable."""
        return self._sync(patient=False)

    def watch(self, stop: threading.Event) -> None:
        """Look, then follow the folders until told to stop; needs nobody to catch errors."""

        def look() -> None:
            try:
                report = self._sync(patient=True)
                if report.missing and not stop.wait(self._grace):
                    # A file that is being replaced is missing for a moment; only a second look believes it.
                    report = self._sync(patient=True)
            except PolicyServerError as error:
                self._become(State.DEGRADED, error.message)
                log.warning("folders: %s", error.message, extra={"action": "feed.failed"})
            else:
                self._become(State.READY, str(report))

        follow([folder for _, folder in self._folders], look, stop, poll=self._poll)

    def _sync(self, *, patient: bool) -> Report:
        stamp = self._store.stamp()
        changed = {change.id for change in self._store.changes(self._stamp)}
        found, skipped, complete = self._scan()
        outcome = _Outcome()
        present = {policy for policy in sorted(found) if self._take(found[policy], outcome, touched=policy in changed)}
        self._sweep(present, complete, outcome, patient=patient)
        self._stamp = stamp
        self._warn(skipped)
        report = outcome.report(tuple(skipped))
        if report.published or report.deleted:
            log.info("folders: %s", report, extra={"action": "feed.synced"})
        return report

    def _scan(self) -> tuple[dict[PolicyId, Found], list[Skipped], frozenset[str]]:
        """Return policies by id, what was left alone, and the repositories that could be seen whole."""
        found: dict[PolicyId, Found] = {}
        skipped: list[Skipped] = []
        partial: set[str] = set()
        for repository, folder in self._folders:
            seen = scan(repository, folder)
            skipped.extend(seen.skipped)
            if not seen.complete:
                partial.add(repository)
            for candidate in seen.found:
                first = found.setdefault(candidate.id, candidate)
                if first is not candidate:
                    reason = f"is the policy {candidate.id} too; {show(first.directory)} is used"
                    skipped.append(Skipped(show(candidate.directory), reason))
        return found, skipped, frozenset(name for name, _ in self._folders if name not in partial)

    def _take(self, found: Found, outcome: "_Outcome", *, touched: bool) -> bool:
        """Publish one policy unless nothing about it is new; False when it has just gone."""
        try:
            read_now = read(found)
        except InvalidSource as error:
            self._refuse(found.id, error, outcome)
            return True
        if read_now is None:
            return False
        source = tidy(read_now)
        digest = source_digest(source)
        seen, failure = self._tried.get(found.id, ("", None))
        if seen == digest and not touched:
            outcome.again(found.id, failure)
        elif self._is_active(source):
            self._tried[found.id] = (digest, None)
            outcome.again(found.id, None)
        elif seen == digest and failure is not None:
            outcome.again(found.id, failure)
        else:
            self._publish(source, digest, outcome)
        return True

    def _publish(self, source: PolicySource, digest: str, outcome: "_Outcome") -> None:
        try:
            self._publisher.publish(source, author=f"folder:{source.id.repository}")
        except ToolkitError as error:
            self._tried.pop(source.id, None)  # not the source's fault: tried again next time
            outcome.failed.append(Failed(source.id, error.message))
        except PublishError as error:
            self._tried[source.id] = (digest, error.message)
            outcome.failed.append(Failed(source.id, error.message))
        else:
            self._tried[source.id] = (digest, None)
            outcome.published.append(source.id)

    def _refuse(self, policy: PolicyId, error: InvalidSource, outcome: "_Outcome") -> None:
        """List a policy whose files cannot even be read."""
        digest = hashlib.sha256(error.message.encode(errors="replace")).hexdigest()  # of what there is to tell apart
        if self._tried.get(policy) != (digest, error.message):
            self._publisher.refuse(policy, error, digest=digest, author=f"folder:{policy.repository}")
            self._tried[policy] = (digest, error.message)
        outcome.failed.append(Failed(policy, error.message))

    def _is_active(self, source: PolicySource) -> bool:
        """Tell whether the store has this very source as active revision, and no failure since."""
        try:
            record = self._store.get(source.id)
        except PolicyNotFound:
            return False
        active = record.revision
        return active is not None and record.failure is None and source_digest(active.source) == source_digest(source)

    def _sweep(self, present: set[PolicyId], complete: frozenset[str], outcome: "_Outcome", *, patient: bool) -> None:
        """Delete the policies that are gone from folders that could be seen whole."""
        for repository in complete - self._asked:
            self._known.update(self._listed(repository))
            self._asked.add(repository)
        self._known |= present
        for policy in sorted(self._known - present):
            if policy.repository not in complete:
                continue
            if not self._owns(policy):
                self._known.discard(policy)
            elif patient and policy not in self._missing:
                outcome.missing.append(policy)
            else:
                self._delete(policy, outcome)
                self._known.discard(policy)
        self._missing = frozenset(outcome.missing)

    def _delete(self, policy: PolicyId, outcome: "_Outcome") -> None:
        def check(record: PolicyRecord | None) -> None:
            if record is not None and not belongs_to(record, f"folder:{policy.repository}"):
                raise PolicyNotFound

        try:
            self._publisher.delete(policy, author=f"folder:{policy.repository}", condition=check)
        except PolicyNotFound:
            return  # somebody else was faster
        self._tried.pop(policy, None)
        outcome.deleted.append(policy)

    def _listed(self, repository: str) -> list[PolicyId]:
        """Return the policies of a repository; asked for once, because it reads them whole."""
        return [record.id for record in records(self._store, PolicyFilter(repository=repository))]

    def _owns(self, policy: PolicyId) -> bool:
        """Tell whether this feed published a policy, or it never got anywhere."""
        record = record_of(self._store, policy)
        return record is not None and belongs_to(record, f"folder:{policy.repository}")

    def _warn(self, skipped: list[Skipped]) -> None:
        """Warn about each path once, and again when it was fine in between."""
        for item in skipped:
            if item not in self._warned:
                log.warning("skipped %s", item, extra={"action": "feed.skipped", "path": item.path})
        self._warned = frozenset(skipped)

    def _become(self, state: State, message: str) -> None:
        since = self._status.since if self._status.state is state else self._clock()
        self._status = Status(state, message, since)


class _Outcome:
    """Collects what happens during one look."""

    def __init__(self) -> None:
        self.published: list[PolicyId] = []
        self.unchanged: list[PolicyId] = []
        self.failed: list[Failed] = []
        self.deleted: list[PolicyId] = []
        self.missing: list[PolicyId] = []

    def again(self, policy: PolicyId, failure: str | None) -> None:
        """Note that nothing about a policy is new."""
        if failure is None:
            self.unchanged.append(policy)
        else:
            self.failed.append(Failed(policy, failure))

    def report(self, skipped: tuple[Skipped, ...]) -> Report:
        """Return what was collected."""
        return Report(
            tuple(self.published),
            tuple(self.unchanged),
            tuple(self.failed),
            skipped,
            tuple(self.deleted),
            tuple(self.missing),
        )
