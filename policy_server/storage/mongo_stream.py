"""Hear of commits through a change stream, where the deployment has them; nothing relies on it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import pymongo
from pymongo import errors
from pymongo.change_stream import CollectionChangeStream

from policy_server.model.errors import StoreUnavailable
from policy_server.storage.mongo_server import Document, MongoServer

_AWAIT: Final = 0.4
"""Seconds that the server waits for a commit before it says that there was none."""

_ANSWER: Final = 0.7
"""Seconds that any answer is waited for; with the next one this keeps the end within a second of ``stop``."""

_CLOSING: Final = 0.2

_PACE: Final = 0.1
"""Seconds between questions to a server that does not wait with its answer although it should."""

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

_EVENTS: Final = [{"$project": {"_id": 1}}]
"""Only that there was one: what it says may be megabytes."""

_NEVER: Final = frozenset({13, 59, 115, 238, 303, 40324, 40573, None})
"""Answers that will not change: not allowed, no such command or stage, not a replica set, not a change stream's."""

log = logging.getLogger(__name__)


class Stream:
    """Follows the document that every commit writes; one ``follow`` at a time."""

    def __init__(self, server: MongoServer, collection: str) -> None:
        """Take where to listen."""
        self._server = server
        self._collection = collection
        self._failures = 0
        self._told = ""

    def follow(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Call ``changed`` for every commit until told to stop; return at once where there are no change streams.

        A stream that breaks is opened anew, after one second and up to a minute when it breaks again and again, and
        ``changed`` is called then, for what happened in between. Never raises.
        """
        while not stop.is_set():
            try:
                if not self._has_streams():
                    return
                self._listen(changed, stop)
            except errors.OperationFailure as error:
                if error.code in _NEVER:
                    log.info("no change stream (%s)", error.code, extra={"action": "follow.refused"})
                    return
                self._broke(f"{type(error).__name__} {error.code}")
            except (errors.PyMongoError, StoreUnavailable) as error:
                self._broke(type(error).__name__)
            stop.wait(min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE))
            self._failures += 1

    def _has_streams(self) -> bool:
        with pymongo.timeout(_ANSWER):
            return self._server.has_streams()

    def _listen(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Listen until told to stop, or until the stream ends because its collection was dropped."""
        with pymongo.timeout(_ANSWER):
            stream = self._server.collection(self._collection).watch(_EVENTS, max_await_time_ms=int(_AWAIT * 1000))
        try:
            changed()
            while stream.alive and not stop.is_set():
                if self._heard(stream):
                    changed()
        finally:
            # Without a limit, a server that hangs would be waited for here.
            with pymongo.timeout(_CLOSING):
                stream.close()

    def _heard(self, stream: "CollectionChangeStream[Document]") -> bool:
        """Ask once; tell whether there was a commit."""
        began = time.monotonic()
        with pymongo.timeout(_ANSWER):
            heard = stream.try_next() is not None
        self._failures, self._told = 0, ""
        if not heard and time.monotonic() - began < _AWAIT / 2:
            time.sleep(_PACE)
        return heard

    def _broke(self, why: str) -> None:
        """Log a reason once, not at every attempt."""
        if why != self._told:
            self._told = why
            log.info("the change stream broke: %s", why, extra={"action": "follow.broke"})
