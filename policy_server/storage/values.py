"""Values that policies keep, for ever or for a while, on any shelf."""

import hashlib
import json
from datetime import datetime
from typing import Final, cast

from policy_server.model.cache import CacheKey
from policy_server.model.errors import ValueNotFound
from policy_server.model.values import Json
from policy_server.storage.listing import utc, utc_or_none
from policy_server.storage.shelf import Shelf, Wanted

_LONGEST: Final = 1000


class Values:
    """Implements ports.ValueStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of values."""
        self._shelf = shelf

    def get(self, key: str) -> Json:
        """Return a value."""
        found = self._shelf.fetch(key)
        if found is None:
            raise ValueNotFound
        return _read(found["body"])

    def set(self, key: str, value: Json) -> None:
        """Insert or replace a value."""
        self._shelf.put({"id": key, "body": _written(value)})

    def delete(self, key: str) -> None:
        """Forget a value."""
        if not self._shelf.remove(Wanted(equals={"id": key})):
            raise ValueNotFound


class Cache:
    """Implements ports.CacheStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of cached values."""
        self._shelf = shelf

    def get(self, key: CacheKey, *, at: datetime) -> Json:
        """Return a value that has not run out."""
        found = self._shelf.fetch(_name(key))
        if found is None or (found["until"] is not None and cast(datetime, found["until"]) <= at):
            raise ValueNotFound
        return _read(found["body"])

    def put(self, key: CacheKey, value: Json, *, until: datetime | None) -> None:
        """Insert or replace a value."""
        self._shelf.put({"id": _name(key), "body": _written(value), "until": utc_or_none(until)})

    def purge(self, at: datetime) -> int:
        """Drop what has run out."""
        return self._shelf.remove(Wanted(due=("until", utc(at))))


def _written(value: Json) -> str:
    # ASCII only: text that no database takes, such as halves of characters, survives as escapes.
    return json.dumps(value, separators=(",", ":"))


def _read(body: object) -> Json:
    return cast(Json, json.loads(cast(str, body)))


def _name(key: CacheKey) -> str:
    name = json.dumps([key.key, key.namespace, key.scope])
    # Databases limit the length of what they index.
    return name if len(name) <= _LONGEST else hashlib.sha256(name.encode()).hexdigest()
