"""The right to do something alone, for as long as it takes and not much longer."""

import logging
import threading
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from policy_server.model.errors import StoreUnavailable
from policy_server.ports import Clock, LeaseStore

TERM: Final = timedelta(seconds=6)
"""How long a process that was killed keeps the others away, however long its work would have taken."""

_RENEW: Final = 2.0
log = logging.getLogger(__name__)


class Lease:
    """A lease in the store, renewed by a thread from ``acquire`` to ``release``; for one use."""

    def __init__(self, leases: LeaseStore, name: str, clock: Clock, *, every: float = _RENEW) -> None:
        """Take who keeps it, and its name; it is renewed every so many seconds."""
        self._leases = leases
        self._name = name
        self._clock = clock
        self._every = every
        self._holder = uuid4().hex
        self._over = threading.Event()
        self._taken = False
        self._until: datetime | None = None
        self._renewing: threading.Thread | None = None

    @property
    def lost(self) -> bool:
        """Whether somebody else took it, or could have: this process did not renew it in time."""
        return self._taken or self._until is None or self._clock() >= self._until

    def acquire(self) -> bool:
        """Take it; False when another one has it. StoreUnavailable."""
        if not self._take():
            return False
        self._renewing = threading.Thread(target=self._renew, name=f"lease-{self._name}", daemon=True)
        self._renewing.start()
        return True

    def release(self) -> None:
        """Give it back; when the store is away it runs out by itself."""
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
        try:
            self._leases.release(self._name, self._holder)
        except StoreUnavailable as error:
            log.warning("the lease %s is left to run out: %s", self._name, error.message)

    def _take(self) -> bool:
        at = self._clock()
        held = self._leases.acquire(self._name, self._holder, until=at + TERM, at=at)
        if held:
            self._until = at + TERM
        return held

    def _renew(self) -> None:
        while not self._over.wait(self._every):
            try:
                # Who took it may have given it back already: having it again makes nothing good.
                self._taken = self.lost or not self._take()
            except StoreUnavailable as error:
                log.warning("the lease %s is not renewed: %s", self._name, error.message)
