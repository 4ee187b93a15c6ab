"""Writes records into the server's own store, and keeps them for as long as the settings say."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from policy_server.decisions.config import STORE
from policy_server.decisions.sink import Unwritten
from policy_server.model.errors import InvalidParameter
from policy_server.model.logged import LoggedDecision
from policy_server.ports import Clock, DecisionStore

log = logging.getLogger(__name__)

_OFTEN: Final = timedelta(minutes=1)
_MANY: Final = 2000
"""Old records are dropped once a minute, and after so many new ones, as part of writing: no other thread does it."""


class StoreSink:
    """Keeps records in the store, where they can be found again."""

    def __init__(self, decisions: Callable[[], DecisionStore], clock: Clock, *, age: timedelta, number: int) -> None:
        """Take the store, and how old and how many records may become there."""
        self.name = STORE
        self._decisions = decisions
        self._clock = clock
        self._age = age
        self._number = number
        self._since = 0
        self._next = clock()

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Keep records in one transaction; drop old ones when it is time for that."""
        store = self._decisions()
        try:
            store.record(records)
        except InvalidParameter as error:
            if len(records) == 1:
                raise Unwritten(error.message, final=True) from error
            self._write_singly(records)
        self._since += len(records)
        at = self._clock()
        if self._since >= _MANY or at >= self._next:
            store.prune(at - self._age, keep=self._number)
            self._since, self._next = 0, at + _OFTEN

    def close(self) -> None:
        """Do nothing; the store is closed by others."""

    def _write_singly(self, records: Sequence[LoggedDecision]) -> None:
        """Keep those that the store takes; one that it never takes must not hold up the others."""
        for record in records:
            try:
                self._decisions().record([record])
            except InvalidParameter as error:
                log.warning("a decision cannot be kept: %s", error.message, extra={"action": "decisions.refused"})
