"""Bundles that are fetched and imported on a schedule."""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from policy_server.audit.journal import Journal
from policy_server.bundles.importer import Importer
from policy_server.model.auto_import import AutoImport
from policy_server.model.duration import format_duration
from policy_server.model.errors import FetchError, PolicyServerError, StoreUnavailable
from policy_server.net.client import GuardedClient
from policy_server.ports import Clock, Store
from policy_server.publishing.leases import Lease
from policy_server.tracing.spans import span

_AT_ONCE: Final = 4
_TERM: Final = timedelta(seconds=10)
_PAUSE: Final = 0.02
_PATIENCE: Final = 750  # pauses: longer than the term, so that a crashed process does not stop the next one
_LONGEST: Final = 1000
log = logging.getLogger(__name__)


class AutoImporter:
    """Keeps what is imported on a schedule, and imports it when it is due.

    The first import is one interval after the configuration was made; a failure
    is written beside it and waits for the next interval.
    """

    def __init__(
        self,
        store: Store,
        importer: Importer,
        client: GuardedClient,
        clock: Clock,
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the collaborators; nothing is fetched yet."""
        self._store = store
        self._importer = importer
        self._client = client
        self._clock = clock
        self._wait = wait
        self._journal = Journal(store.audit, clock)

    def all(self) -> Sequence[AutoImport]:
        """Return all configurations, ordered by URL."""
        return self._store.auto_imports.all()

    def save(self, url: str, interval: timedelta, *, by: str) -> AutoImport:
        """Make a configuration, or give the one with this URL another interval; on record.

        Raises:
            InvalidParameter: it is not an http or https address.
            TargetRefused: it is in a network that may not be reached.
        """
        self._client.check(url, named="policyURL")
        with self._change():
            known = self._find(url)
            made = AutoImport(secrets.token_hex(12), url, interval, _later(self._clock(), interval))
            if known is not None:
                made = replace(known, interval=interval, next_import=made.next_import)
            before = None if known is None else _shown(known)
            with self._journal.change("save-auto-import", _masked(url), actor=by, before=before, after=_shown(made)):
                return self._store.auto_imports.save(made)

    def remove(self, url: str, *, by: str) -> AutoImport:
        """Forget and return a configuration, on record; AutoImportNotFound."""
        with self._change():
            known = self._find(url)
            if known is None:
                return self._store.auto_imports.remove(url)
            with self._journal.change("remove-auto-import", _masked(url), actor=by, before=_shown(known)):
                return self._store.auto_imports.remove(url)

    def run_due(self, at: datetime) -> tuple[AutoImport, ...]:
        """Import what is due, several at once; returns what was tried. StoreUnavailable."""
        due = self._store.auto_imports.due(at)
        if not due:
            return ()
        with ThreadPoolExecutor(min(len(due), _AT_ONCE), thread_name_prefix="auto-import") as pool:
            return tuple(done for done in pool.map(lambda each: self._run(each.url, at), due) if done is not None)

    def _run(self, url: str, at: datetime) -> AutoImport | None:
        """Import one bundle when it is still due and nobody else is at it."""
        with self._alone(url) as alone:
            claimed = self._claim(url, at) if alone else None
            if claimed is None:
                return None
            error = self._import(claimed)
            return self._note(url, error)

    def _claim(self, url: str, at: datetime) -> AutoImport | None:
        """Put the next import one interval off before this one begins; None when it is not due any more."""
        with self._change():
            known = self._find(url)
            if known is None or known.next_import > at:
                return None
            following = _later(at, known.interval)
            return self._store.auto_imports.save(replace(known, next_import=following, last_attempt=at))

    def _import(self, config: AutoImport) -> str | None:
        """Fetch and import; returns what went wrong."""
        try:
            with span("bundle.import", {"bundle.auto_import": config.id}):
                answer = self._client.fetch("GET", config.url, headers={"Accept": "application/zip, application/gzip"})
                if answer.status != 200:
                    raise FetchError(f"The bundle was answered with status {answer.status} instead of 200.")
                self._importer.bring(answer.body)
        except StoreUnavailable:
            raise
        except PolicyServerError as error:
            fields = {"action": "bundle.failed", "auto_import": config.id}
            # SECURITY: the address may hold a token; the id names the configuration.
            log.warning("automatic import %s failed: %s", config.id, error.message, extra=fields)
            return error.message[:_LONGEST]
        return None

    def _note(self, url: str, error: str | None) -> AutoImport | None:
        """Write the outcome beside the configuration, unless that was removed meanwhile."""
        with self._change():
            known = self._find(url)
            if known is None:
                return None
            success = known.last_success if error else self._clock()
            return self._store.auto_imports.save(replace(known, error=error, last_success=success))

    def _find(self, url: str) -> AutoImport | None:
        return next((each for each in self.all() if each.url == url), None)

    @contextmanager
    def _alone(self, url: str) -> Iterator[bool]:
        """Take the lease of a URL for one import; gives False when another process has it."""
        name = f"auto-import:{hashlib.sha256(url.encode()).hexdigest()}"
        lease = Lease(self._store, name, self._clock)
        held = lease.acquire()
        try:
            yield held
        finally:
            if held:
                lease.release()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Keep everybody else away between reading and writing a configuration; StoreUnavailable."""
        holder = uuid4().hex
        for _ in range(_PATIENCE):
            at = self._clock()
            if self._store.acquire("auto-imports", holder, until=at + _TERM, at=at):
                break
            self._wait(_PAUSE)
        else:
            raise StoreUnavailable("Another process has been writing the automatic imports for too long.")
        try:
            yield
        finally:
            self._store.release("auto-imports", holder)


def _masked(url: str) -> str:
    """Return an address without user, password, query and fragment, any of which may be secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _shown(config: AutoImport) -> str:
    """Return which configuration it is, and how often it has a bundle imported."""
    return f"{config.id} every {format_duration(config.interval // timedelta(microseconds=1) * 1000)}"


def _later(at: datetime, interval: timedelta) -> datetime:
    try:
        return at + interval
    except OverflowError:
        return datetime.max.replace(tzinfo=at.tzinfo)
