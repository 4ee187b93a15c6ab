"""Keeps results of evaluations for a while, beside the answers and never in their way."""

import json
import logging
import queue
import threading
import time
from datetime import timedelta
from typing import Final, Protocol

from policy_server.model.cache import CacheKey
from policy_server.model.errors import FetchError, PolicyServerError
from policy_server.net.client import GuardedClient
from policy_server.ports import Bearer, CacheStore, Clock

MOST: Final = 1000
"""How many results wait at most."""

MOST_BYTES: Final = 64 << 20
"""How many bytes they may have together."""

LONGEST: Final = 10 * 366 * 86400
"""The longest time the built-in cache keeps anything, in seconds."""

_QUIET: Final = 60.0

log = logging.getLogger(__name__)


class ResultCache(Protocol):
    """Where results are kept."""

    always: bool
    """Whether results without a time to live are kept, too."""

    def keep(self, key: str, result: bytes, ttl: int | None) -> None:
        """Keep the JSON text of a result; ``ttl`` is in seconds. Raises what goes wrong."""


class StoreCache:
    """The built-in cache. It keeps only what is to be forgotten again: results may hold personal data."""

    always = False

    def __init__(self, cache: CacheStore, clock: Clock) -> None:
        """Take the store's cache."""
        self._cache = cache
        self._clock = clock

    def keep(self, key: str, result: bytes, ttl: int | None) -> None:
        """Keep it under the id of the evaluation, without namespace and scope."""
        if ttl is not None and ttl > 0:
            until = self._clock() + timedelta(seconds=min(ttl, LONGEST))
            self._cache.put(CacheKey(key), json.loads(result), until=until)


class ServiceCache:
    """The cache service that the policy service knows; it gets every result, as it always did."""

    always = True

    def __init__(self, client: GuardedClient, url: str, *, bearer: Bearer | None = None) -> None:
        """Take its address, without the path; ``bearer`` has our token where the service wants one."""
        self._client = client
        self._bearer = bearer
        self._url = f"{url}/v1/cache"

    def keep(self, key: str, result: bytes, ttl: int | None) -> None:
        """Send it; FetchError when the service does not take it, TargetRefused."""
        headers = {"x-cache-key": key, "x-cache-namespace": "", "x-cache-scope": ""}
        if ttl:
            headers["x-cache-ttl"] = str(ttl)
        if self._bearer is not None:
            headers["Authorization"] = self._bearer()
        status = self._client.fetch("POST", self._url, body=result, headers=headers).status
        if status not in {200, 201}:
            raise FetchError(f"the cache service answers {status}")


class Results:
    """Takes results from those who answer, and keeps them on a thread of its own.

    When the cache is slow or away results are dropped, and counted; an evaluation
    neither waits nor fails.
    """

    def __init__(self, cache: ResultCache, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        """Take where results are kept; nothing runs yet."""
        self._cache = cache
        self._waiting: queue.Queue[tuple[str, bytes, int | None]] = queue.Queue(most)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._count = threading.Lock()
        self._told = -_QUIET
        self.dropped = 0

    def offer(self, key: str, result: bytes, ttl: int | None) -> None:
        """Take a result if there is room; returns at once, and never raises."""
        if not (self._cache.always or (ttl is not None and ttl > 0)):
            return
        with self._count:
            fits = self._bytes + len(result) <= self._most_bytes and not self._waiting.full()
            if fits:
                self._bytes += len(result)
                self._waiting.put_nowait((key, result, ttl))
        if not fits:
            self._drop("the cache is too slow")

    def run(self, stop: threading.Event) -> None:
        """Keep what was offered until told to stop; what waits then is dropped."""
        while not stop.is_set():
            self.work(0.5)

    def work(self, patience: float = 0.0) -> bool:
        """Keep one result, waiting so many seconds for one; False when there was none."""
        try:
            key, result, ttl = self._waiting.get(timeout=patience) if patience else self._waiting.get_nowait()
        except queue.Empty:
            return False
        try:
            self._cache.keep(key, result, ttl)
        except (PolicyServerError, ValueError, RecursionError) as error:
            self._drop(error.message if isinstance(error, PolicyServerError) else "it cannot be read")
        finally:
            with self._count:
                self._bytes -= len(result)
        return True

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now - self._told >= _QUIET:
            self._told = now
            fields = {"action": "cache.failed", "dropped": self.dropped}
            log.warning("results are not cached (%d so far): %s", self.dropped, reason, extra=fields)
