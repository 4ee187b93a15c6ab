"""``cache.*``: values that are kept for a while, by a cache service or in the server's own store.

Source of the rules: the policy service's specification, section 6.2.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, builtin
from policy_server.builtins.waiting import an_object, asked, stored
from policy_server.model.cache import RESERVED, CacheKey
from policy_server.model.errors import BuiltinFailed, ValueNotFound
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.cache import CacheService
from policy_server.ports import CacheStore


class Cache(Protocol):
    """Keeps values for a while."""

    def get(self, call: Call, key: CacheKey) -> Json | bytes:
        """Return a value, or the error document that says that there is none."""

    def put(self, call: Call, key: CacheKey, value: JsonObject) -> None:
        """Insert or replace a value."""


class ServiceCache:
    """A cache service."""

    def __init__(self, service: CacheService) -> None:
        """Take the client."""
        self._service = service

    def get(self, call: Call, key: CacheKey) -> bytes:
        """Ask the service."""
        return asked(call, lambda seconds: self._service.get(key, seconds))

    def put(self, call: Call, key: CacheKey, value: JsonObject) -> None:
        """Tell the service."""
        asked(call, lambda seconds: self._service.put(key, value, seconds))


class StoredCache:
    """The server's own store, which answers as the cache service does.

    ``ttl`` is in seconds, 0 for ever; ``flatten`` says how several scopes (``a,b``) are joined: the
    ``first`` or the ``last`` value that is there, or ``merge``, where a member that was there already
    gets a number: ``k``, ``k_1``, ``k_2``.
    """

    def __init__(self, store: CacheStore, *, ttl: float = 0.0, flatten: str = "merge") -> None:
        """Take the store."""
        self._store = store
        self._ttl = ttl
        self._flatten = flatten

    def get(self, call: Call, key: CacheKey) -> Json:
        """Read the store, at the evaluation's time."""
        _check_namespace(key)
        at = datetime.fromtimestamp(call.now_ns / 1e9, UTC)
        found = stored(call, lambda: self._values(key, at))
        if not found:
            # The same each time, so that two evaluations of a question can be compared.
            name = hashlib.sha256(f"{key}".encode(errors="surrogatepass")).hexdigest()[:16]
            return {"id": name, "kind": 5, "message": "key not found in cache"}
        if self._flatten == "merge" and len(found) > 1:
            return _merged(found)
        return found[-1 if self._flatten == "last" else 0]

    def put(self, call: Call, key: CacheKey, value: JsonObject) -> None:
        """Write to the store."""
        _check_namespace(key)
        at = datetime.fromtimestamp(call.now_ns / 1e9, UTC)
        until = at + timedelta(seconds=self._ttl) if self._ttl else None
        stored(call, lambda: self._store.put(key, value, until=until))

    def _values(self, key: CacheKey, at: datetime) -> Sequence[Json]:
        # The scope as it is comes first, so that what was written to "a,b" is found there.
        scopes = [key.scope]
        if "," in key.scope:
            scopes += [each.strip() for each in key.scope.split(",")]
        found: list[Json] = []
        for scope in dict.fromkeys(scopes):
            try:
                found.append(self._store.get(CacheKey(key.key, key.namespace, scope), at=at))
            except ValueNotFound:
                continue
        return found


def functions(cache: Cache | None) -> tuple[Builtin, ...]:
    """Return ``cache.get`` and ``cache.set`` on a cache; without one they fail."""

    @builtin("cache.get", args=("string", "string", "string"), result=ANY, nondeterministic=True, blocking=True)
    def get(call: Call, key: str, namespace: str, scope: str) -> Json | bytes:
        return _usable(cache, key).get(call, CacheKey(key, namespace, scope))

    @builtin(
        "cache.set",
        args=("string", "string", "string", ANY),
        result="string",
        nondeterministic=True,
        blocking=True,
        changes=True,
    )
    def put(call: Call, key: str, namespace: str, scope: str, data: JsonObject) -> Json:
        an_object(data, "the data")
        _usable(cache, key).put(call, CacheKey(key, namespace, scope), data)
        return "success"

    return (get, put)


cache_get, cache_set = functions(None)


def _check_namespace(key: CacheKey) -> None:
    if key.namespace.startswith(RESERVED):
        raise BuiltinFailed(f"namespaces that begin with {RESERVED} are the server's own", code="argument")


def _usable(cache: Cache | None, key: str) -> Cache:
    if not key.strip():
        raise BuiltinFailed("the key is empty", code="argument")
    if cache is None:
        raise BuiltinFailed(
            "there is no cache here; the server has one, and POLICY_CACHE_URL names another", code="unconfigured"
        )
    return cache


def _merged(found: Sequence[Json]) -> JsonObject:
    joined: dict[str, Json] = {}
    for each in found:
        if not isinstance(each, Mapping):
            raise BuiltinFailed("values of several scopes are merged only when all are objects", code="answer")
        for name, value in each.items():
            number = 1
            free = name
            while free in joined:
                free = f"{name}_{number}"
                number += 1
            joined[free] = value
    return joined
