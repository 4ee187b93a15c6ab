"""Follows the branch of a Git repository."""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from policy_server.model.errors import Busy, FetchError, PolicyServerError, StoreUnavailable
from policy_server.model.git import GitCondition, GitCounts, GitState
from policy_server.ports import Clock, Store
from policy_server.publishing.checks import LIMITS
from policy_server.publishing.leases import Lease
from policy_server.publishing.publisher import SourcePublisher
from policy_server.sources.git_config import GitRepository
from policy_server.sources.git_pack import Limits, unpack
from policy_server.sources.git_publishing import GitPublishing, Outcome, Shelf
from policy_server.sources.git_state import GitStates
from policy_server.sources.git_transport import Remote
from policy_server.sources.git_tree import Tree, look
from policy_server.tracing.spans import span

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_SHOWN: Final = 50
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GitLimits:
    """The most a commit may hold.

    ``received`` is in bytes, packed; eight times as many are unpacked. ``files`` counts directories too.
    ``timeout`` is how many seconds may pass without an answer, ``deadline`` how many a fetch may take.
    """

    received: int = 256 << 20
    files: int = 200_000
    policies: int = 20_000
    timeout: float = 30.0
    deadline: float = 300.0


_Last = tuple[str, GitCounts, Outcome, Tree]


class Stopped(Exception):
    """The process ends, or gives its work to another one."""


class GitFeed:
    """Keeps the policies of one repository those of its branch; one thread at a time."""

    def __init__(
        self,
        repository: GitRepository,
        publisher: SourcePublisher,
        store: Store,
        directory: Path,
        *,
        clock: Clock = lambda: datetime.now(UTC),
        limits: GitLimits = GitLimits(),
        seen: Callable[[str, bool, datetime], None] = lambda _repository, _ok, _at: None,
        poll: float = 0.25,
    ) -> None:
        """Take the collaborators; nothing is asked yet.

        ``directory`` is for files that are gone when a look is over. ``seen`` is told of every look:
        the repository, whether it went well, and when it ended. ``poll`` seconds pass between two looks for requests.
        """
        self.repository = repository
        self.states = GitStates(store.cache, clock)
        self._store = store
        self._directory = directory
        self._clock = clock
        self._limits = limits
        self._seen = seen
        self._poll = poll
        self._remote = Remote(repository, max_bytes=limits.received, timeout=limits.timeout, deadline=limits.deadline)
        self._publishing = GitPublishing(repository, publisher, store)
        self._last: _Last | None = None
        self._warned: frozenset[str] = frozenset()

    def watch(self, stop: threading.Event) -> None:
        """Synchronise now, then when asked to and after every interval; needs nobody to catch errors."""
        due, answered = self._clock(), ""
        while not stop.is_set():
            try:
                if self._clock() >= due or self.states.asked(self.repository.name) > answered:
                    with span("git.sync", {"git.repository": self.repository.name}) as spanned:
                        state = self.sync(stop)
                        spanned.set("git.commit", state.commit or "")
                        if state.error is not None:
                            spanned.fail("failed")
                    due, answered = state.next_attempt or self._clock(), state.answered
            except Busy:
                due = self._clock() + timedelta(seconds=_FIRST_PAUSE)
            except Stopped:
                return
            except StoreUnavailable as error:
                log.warning("%s: %s", self.repository.author, error.message, extra={"action": "git.failed"})
                due = self._clock() + timedelta(seconds=_FIRST_PAUSE)
            stop.wait(self._poll)

    def sync(self, stop: threading.Event | None = None) -> GitState:
        """Look once and publish what changed; return how it went, also when it failed.

        Raises:
            Busy: another process is at it.
            StoreUnavailable: the store cannot be read or written.
            Stopped: ``stop`` was set meanwhile.
        """
        lease = Lease(self._store, f"git:{self.repository.name}", self._clock)
        if not lease.acquire():
            raise Busy(f"Another process is synchronising {self.repository.name} right now.")
        before = self.states.load(self.repository.name)
        if before.condition is GitCondition.SYNCING:  # whoever was at it was killed
            before = replace(before, condition=GitCondition.FAILING if before.error else GitCondition.READY)
        asked = self.states.asked(self.repository.name)
        try:
            self.states.save(replace(before, condition=GitCondition.SYNCING, last_attempt=self._clock()))
            began = time.monotonic()
            try:
                last = self._last
                self._look(partial(_go_on, lease, stop, self.repository.name))
            except (StoreUnavailable, Busy):
                raise
            except PolicyServerError as error:
                state = self._failed(before, asked, error)
            else:
                state = self._succeeded(before, asked, last, time.monotonic() - began)
            self.states.save(state)
        except Stopped:
            self.states.save(before)
            raise
        finally:
            lease.release()
        self._seen(self.repository.name, state.error is None, self._clock())
        return state

    def _look(self, alive: Callable[[], None]) -> None:
        """Publish the newest commit when it is new, or something else is."""
        tip = self._remote.tip()
        known = self._last
        settled = known is not None and known[0] == tip and not self._publishing.unsettled
        if settled and not self._publishing.has_drifted():
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file() as pack, self._file() as content, self._file() as modules:
            commit = self._remote.fetch(pack, largest=max(LIMITS.values()), alive=alive)
            pack.flush()
            limits = Limits(self._limits.files, max(LIMITS.values()), 8 * self._limits.received)
            objects = unpack(pack, content, limits, alive)
            repository = self.repository
            tree = look(
                objects, commit, repository=repository.name, folder=repository.folder, most=self._limits.policies
            )
            outcome = self._publishing.take(commit, tree, objects, Shelf(modules), alive)
        self._last = (commit, _counts(outcome, tree), outcome, tree)
        self._tell(commit, outcome, tree)

    def _file(self) -> BinaryIO:
        """Open a file without a name: it is gone when it is closed, or this process dies."""
        try:
            return cast(BinaryIO, tempfile.TemporaryFile(dir=self._directory))
        except OSError as error:
            raise FetchError(f"{self._directory} cannot be written: {error.strerror}") from error

    def _tell(self, commit: str, outcome: Outcome, tree: Tree) -> None:
        """Log what was done, and each warning once for as long as it holds."""
        log.info(
            "%s at %s: %s",
            self.repository.author,
            commit[:12],
            outcome,
            extra={"action": "git.synced", "commit": commit},
        )
        warnings = [str(item) for item in tree.skipped]
        for warning in warnings:
            if warning not in self._warned:
                log.warning("%s: skipped %s", self.repository.author, warning, extra={"action": "git.skipped"})
        self._warned = frozenset(warnings)

    def _succeeded(self, before: GitState, asked: str, last: _Last | None, seconds: float) -> GitState:
        now = self._clock()
        state = replace(
            before,
            condition=GitCondition.READY,
            last_attempt=now,
            last_success=now,
            next_attempt=now + timedelta(seconds=self.repository.interval),
            error=None,
            failures=0,
            answered=max(asked, before.answered),
        )
        if self._last is None or self._last is last:
            return state  # nothing was to be done
        _, counts, outcome, tree = self._last
        return replace(
            state,
            commit=self._last[0],
            seconds=round(seconds, 3),
            counts=counts,
            broken=tuple((str(item.policy), item.message) for item in outcome.failed[:_SHOWN]),
            warnings=tuple(str(item) for item in tree.skipped[:_SHOWN]),
        )

    def _failed(self, before: GitState, asked: str, error: PolicyServerError) -> GitState:
        now = self._clock()
        failures = before.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** min(before.failures, 10), max(_LONGEST_PAUSE, self.repository.interval))
        log.warning(
            "%s: not synchronised, what is published goes on: %s",
            self.repository.author,
            error.message,
            extra={"action": "git.failed", "failures": failures},
        )
        return replace(
            before,
            condition=GitCondition.FAILING,
            last_attempt=now,
            next_attempt=now + timedelta(seconds=pause),
            error=error.message,
            failures=failures,
            answered=max(asked, before.answered),
        )


def _go_on(lease: Lease, stop: threading.Event | None, repository: str) -> None:
    """Raise when the work is to end: Stopped, or Busy when another process took over."""
    if stop is not None and stop.is_set():
        raise Stopped
    if lease.lost:
        raise Busy(f"Another process took {repository} over.")


def _counts(outcome: Outcome, tree: Tree) -> GitCounts:
    return GitCounts(
        published=len(outcome.published),
        unchanged=len(outcome.unchanged),
        failed=len(outcome.failed),
        deleted=len(outcome.deleted),
        kept=len(outcome.kept),
        marked=len(outcome.marked),
        skipped=len(tree.skipped),
    )
