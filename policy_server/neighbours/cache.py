"""The cache service: values under key, namespace and scope, for a while."""

from typing import Final

from policy_server.model.cache import CacheKey
from policy_server.model.values import JsonObject
from policy_server.neighbours.link import CREATED, Link, header_value, json_text

_PATH: Final = "/v1/cache"


class CacheService:
    """Reads and writes values of a cache service; safe for threads.

    ``ttl`` is in seconds, 0 for ever; ``flatten`` how it joins several scopes: merge, first or last.
    """

    def __init__(self, link: Link, *, ttl: float = 0.0, flatten: str = "merge") -> None:
        """Take the line to the service."""
        self._link = link
        self._ttl = ttl
        self._flatten = flatten

    def get(self, key: CacheKey, seconds: float) -> bytes:
        """Return the JSON text of a value; BuiltinFailed when there was none.

        COMPAT: for an unknown key the service's error document is the value.
        """
        headers = _named(key)
        if self._flatten != "merge":  # what the service does anyway
            headers["x-cache-flatten-strategy"] = self._flatten
        reply = self._link.ask("GET", _PATH, seconds=seconds, headers=headers, ok={200, 404}, token=True)
        return self._link.json(reply)

    def put(self, key: CacheKey, value: JsonObject, seconds: float) -> None:
        """Insert or replace a value; BuiltinFailed when it was not done."""
        headers = _named(key)
        if self._ttl:
            headers["x-cache-ttl"] = str(max(1, round(self._ttl)))
        # COMPAT: no Content-Type is sent.
        self._link.ask("POST", _PATH, seconds=seconds, body=json_text(value), headers=headers, ok=CREATED, token=True)


def _named(key: CacheKey) -> dict[str, str]:
    return {
        "x-cache-key": header_value(key.key, "the key"),
        "x-cache-namespace": header_value(key.namespace, "the namespace"),
        "x-cache-scope": header_value(key.scope, "the scope"),
    }
