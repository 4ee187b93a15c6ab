"""How delivering goes: kept in the store, because only one process of all knows."""

from typing import Final

import msgspec

from policy_server.model.cache import RESERVED, CacheKey
from policy_server.model.errors import StoreUnavailable, ValueNotFound
from policy_server.model.status import State, Status
from policy_server.ports import CacheStore, Clock

_KEY: Final = CacheKey("status", f"{RESERVED}events")


class Standing:
    """Passes the status of whoever delivers on to every process, under a name of ours in the store's cache."""

    def __init__(self, store: CacheStore, clock: Clock) -> None:
        """Take where it is kept."""
        self._store = store
        self._clock = clock
        self._began = clock()

    def save(self, status: Status) -> None:
        """Keep how delivering goes; StoreUnavailable."""
        self._store.put(_KEY, msgspec.to_builtins(status), until=None)

    def load(self) -> Status:
        """Return what was kept last; a store that is away only degrades."""
        try:
            return msgspec.convert(self._store.get(_KEY, at=self._clock()), Status)
        except StoreUnavailable as error:
            return Status(State.DEGRADED, error.message, self._clock())
        except (ValueNotFound, msgspec.ValidationError):  # nobody has delivered yet, or another release wrote it
            return Status(State.READY, "delivered by another process", self._began)
