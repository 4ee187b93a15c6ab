"""Joins the decision log: who takes decisions, who masks them, and where they go."""

import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from policy_server.api.metrics import Metrics
from policy_server.decisions.config import FILE, LOG, STORE, is_address
from policy_server.decisions.journal import DecisionLog
from policy_server.decisions.keeping import StoreSink
from policy_server.decisions.lane import IDLE, Lane
from policy_server.decisions.local import FileSink, LogSink
from policy_server.decisions.masking import Masker
from policy_server.decisions.record import Keeping, Recorder
from policy_server.decisions.sink import Sink
from policy_server.decisions.taking import RecordingEvaluator
from policy_server.decisions.upload import UploadSink
from policy_server.engine.catalog import Catalog
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.traced import TracedEvaluator
from policy_server.model.status import Status
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.notation.credentials import SecretStr
from policy_server.ports import Clock, DecisionStore, Store
from policy_server.settings import Settings
from policy_server.version import VERSION

_RARELY: Final = 1.0
"""Seconds between writes to the store: with SQLite every one of them takes a turn among all writers."""


class _TracedRecording(TracedEvaluator, RecordingEvaluator):
    """Records what it decides under the id that its span has."""


class Recording:
    """Each thing is made when it is first asked for; with the log off nothing is."""

    def __init__(self, settings: Settings, store: Callable[[], Store], metrics: Metrics, clock: Clock) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._clock = clock

    @cached_property
    def log(self) -> DecisionLog | None:
        """The decision log, None when it is off."""
        settings, counts = self._settings, self._metrics.decision_log
        names = settings.decision_log.names
        if not names:
            return None
        recorder = Recorder(
            Masker(settings.decision_log_mask, _secret(settings.decision_log_hash_key).encode()),
            Keeping(bodies=settings.decision_log_input, most=settings.decision_log_max_bytes),
            {"id": f"{socket.gethostname()}:{os.getpid()}", "version": VERSION},
            counts.erased,
        )
        lanes = [
            Lane(
                self._sink(name),
                settings.decision_log_queue,
                counts,
                self._clock,
                idle=_RARELY if name == STORE else IDLE,
            )
            for name in names
        ]
        most = settings.decision_log_max_bytes if settings.decision_log_input else 0
        return DecisionLog(recorder, lanes, counts, self._clock, limit=settings.decision_log_queue, most=most)

    def evaluator(self, catalog: Catalog, *, traced: bool) -> Evaluator:
        """Return who decides, and notes it where that is wanted."""
        if self.log is None:
            return TracedEvaluator(catalog) if traced else Evaluator(catalog)
        return _TracedRecording(catalog) if traced else RecordingEvaluator(catalog)

    def kept(self, *, local: bool) -> DecisionStore | None:
        """Return where decisions are found again, None when this server keeps none in the store.

        A ``local`` command looks all the same: it may not have the settings of the server that kept them.
        """
        return self._store().decisions if local or STORE in self._settings.decision_log.names else None

    def tidy(self, at: datetime) -> None:
        """Drop from the store what is too old or too much, also when nothing new comes or recording was turned off."""
        age = timedelta(seconds=self._settings.decision_log_keep)
        self._store().decisions.prune(at - age, keep=self._settings.decision_log_keep_records)

    def subsystems(self) -> Mapping[str, Callable[[], Status]]:
        """Return what health pages show of it."""
        return {} if self.log is None else {"decisions": self.log.status}

    def _sink(self, name: str) -> Sink:
        if name == LOG:
            return LogSink()
        if name == STORE:
            age = timedelta(seconds=self._settings.decision_log_keep)
            number = self._settings.decision_log_keep_records
            return StoreSink(lambda: self._store().decisions, self._clock, age=age, number=number)
        if is_address(name):
            # The operator named this host, so that it may be reached wherever it is.
            guard = NetworkGuard((*self._settings.allowed_networks, urlsplit(name).hostname or ""))
            client = GuardedClient(guard, read_timeout=10.0, deadline=30.0, max_bytes=1 << 20)
            return UploadSink(name, client, _secret(self._settings.decision_log_token))
        return FileSink(Path(name.removeprefix(FILE)))


def _secret(text: SecretStr | None) -> str:
    return "" if text is None else text.get_secret_value()
