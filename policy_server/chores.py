"""The work that one process does for all: what there is to do, how often, and how it is doing."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property, partial

from policy_server.api.metrics import Metrics
from policy_server.background import ACTING, Background, Job
from policy_server.exchange import Exchange
from policy_server.model.errors import StoreUnavailable
from policy_server.model.status import State, Status
from policy_server.ports import Clock, Store
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.renewal import Renewal
from policy_server.recording import Recording
from policy_server.refresh.refresher import Refresher
from policy_server.settings import Settings
from policy_server.sources.bundled import ORIGIN
from policy_server.sources.folder import FolderFeed
from policy_server.sources.foreign import ForeignFeed
from policy_server.sources.git import GitFeed, GitLimits

_HOUR = 3600.0
log = logging.getLogger(__name__)


class Chores:
    """Each thing is made when it is first asked for; nothing runs before ``background`` is told to."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: SourcePublisher,
        clock: Clock,
        *,
        exchange: Exchange,
        recording: Recording,
        refresher: Refresher,
        metrics: Metrics,
        toolkit: Callable[[], str],
        known: Callable[[], Status],
    ) -> None:
        """Take the collaborators; ``toolkit`` tells toolkits apart, ``known`` how the store was at the last look."""
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._exchange = exchange
        self._recording = recording
        self._refresher = refresher
        self._metrics = metrics
        self._toolkit = toolkit
        self._known = known
        self._since = clock()

    @cached_property
    def folders(self) -> FolderFeed:
        """The folders the settings name."""
        poll = self._settings.feed_poll
        feed = partial(FolderFeed, self._settings.folders, self._publisher, self._store, clock=self._clock)
        return feed(poll=poll) if poll else feed()

    @cached_property
    def git(self) -> tuple[GitFeed, ...]:
        """The Git repositories the settings name, each followed by itself."""
        settings = self._settings
        limits = GitLimits(
            received=settings.git_max_bytes,
            files=settings.git_max_files,
            policies=settings.git_max_policies,
            timeout=settings.git_timeout,
            deadline=10 * settings.git_timeout,
        )
        make = partial(GitFeed, clock=self._clock, limits=limits, seen=self._metrics.git_sync)
        directory = settings.state_dir / "git"
        return tuple(make(item, self._publisher, self._store, directory) for item in settings.git.items)

    @cached_property
    def foreign(self) -> ForeignFeed:
        """The policies that the original service keeps in our store."""
        return ForeignFeed(self._store, self._publisher)

    @cached_property
    def background(self) -> Background:
        """All of it, done by one process at a time."""
        renewal = Renewal(self._store, self._publisher, self._toolkit, self._clock, shipped=ORIGIN)
        jobs = [
            Job("refresh", self._refresh),
            Job("tidy", self._tidy),
            Job("renewal", renewal.run),
            Job("auto-import", self._import_due),
            Job("events", self._exchange.deliverer.run),
        ]
        if self._settings.database.startswith("mongodb"):
            jobs.append(Job("foreign", self._adopt))
        if self._settings.folders:
            jobs.append(Job("folders", self.folders.watch))
        jobs += [Job(f"git-{feed.repository.name}", feed.watch) for feed in self.git]
        holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        return Background(jobs, self._store, self._clock, holder=holder)

    def acts(self) -> bool:
        """Tell whether this process is the one."""
        return self.background.status().message == ACTING

    def events(self) -> Status:
        """Tell how delivering is doing; the process that acts tells the others through the store."""
        return self._exchange.deliverer.status() if self.acts() else self.kept(self._exchange.standing.load)

    def kept(self, load: Callable[[], Status]) -> Status:
        """Read a status from the store, unless that was found away: no probe waits for it."""
        known = self._known()
        return known if known.state is State.DEGRADED else load()

    def following(self) -> Status:
        """Tell how the folders are doing; only the process that acts knows."""
        return self.folders.status() if self.acts() else Status(State.READY, "followed by another process", self._since)

    def _refresh(self, halt: threading.Event) -> None:
        while not halt.wait(self._settings.refresh_poll):
            try:
                self._refresher.run_due(self._clock())
            except StoreUnavailable as error:
                log.warning("data is not refreshed: %s", error.message, extra={"action": "refresh.failed"})

    def _import_due(self, halt: threading.Event) -> None:
        while not halt.wait(self._settings.auto_import_poll_interval):
            try:
                self._exchange.bundles.auto.run_due(self._clock())
            except StoreUnavailable as error:
                log.warning("no bundles are imported: %s", error.message, extra={"action": "bundle.failed"})

    def _tidy(self, halt: threading.Event) -> None:
        """Drop what has run out, at the start and then every hour."""
        settings = self._settings
        while not halt.is_set():
            at = self._clock()
            try:
                self._store.cache.purge(at)
                self._store.outbox.prune(at - timedelta(seconds=settings.keep_events))
                self._store.audit.prune(at - timedelta(seconds=settings.keep_audit))
                self._recording.tidy(at)
                self._store.tidy()
            except StoreUnavailable as error:
                log.warning("the store is not tidied up: %s", error.message, extra={"action": "tidy.failed"})
            halt.wait(_HOUR)

    def _adopt(self, halt: threading.Event) -> None:
        """Take over what the original service, or its sync program, left in the store."""
        while not halt.is_set():
            try:
                self.foreign.adopt()
            except StoreUnavailable as error:
                log.warning("no policies are taken over: %s", error.message, extra={"action": "foreign.failed"})
            halt.wait(self._settings.feed_poll)
