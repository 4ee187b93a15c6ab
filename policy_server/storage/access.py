"""API tokens and trusted keys, on any shelf."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from policy_server.model.access import ApiToken, TrustedKey
from policy_server.model.errors import AlreadyExists, KeyNotFound, TokenNotFound
from policy_server.storage.listing import utc, utc_or_none
from policy_server.storage.shelf import Row, Shelf, Wanted


class Tokens:
    """Implements ports.TokenStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of tokens."""
        self._shelf = shelf

    def add(self, token: ApiToken) -> None:
        """Keep a new one."""
        if not self._shelf.insert(_token_row(token)):
            raise AlreadyExists("There is such a token already.")

    def by_digest(self, digest: str) -> ApiToken | None:
        """Return the token with this digest."""
        found = self._shelf.select(Wanted(equals={"digest": digest}))
        return _token(found[0]) if found else None

    def all(self) -> Sequence[ApiToken]:
        """Return all, ordered by id."""
        return [_token(row) for row in self._shelf.select()]

    def touch(self, token: str, at: datetime) -> None:
        """Note that it was used."""
        at = utc(at)
        found = self._shelf.fetch(token)
        if found is None:
            return
        before = cast("datetime | None", found["last_used_at"])
        if before is None or before < at:
            # When another process notes it at this moment, that is as good.
            self._shelf.change(token, {"last_used_at": at}, when={"last_used_at": before})

    def revoke(self, token: str, at: datetime) -> ApiToken:
        """Make it useless."""
        self._shelf.change(token, {"revoked_at": utc(at)}, when={"revoked_at": None})
        found = self._shelf.fetch(token)
        if found is None:
            raise TokenNotFound(f"There is no token {token}.")
        return _token(found)

    def remove(self, token: str) -> None:
        """Forget one."""
        if not self._shelf.remove(Wanted(equals={"id": token})):
            raise TokenNotFound(f"There is no token {token}.")


class Keys:
    """Implements ports.KeyStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of keys."""
        self._shelf = shelf

    def save(self, key: TrustedKey) -> None:
        """Insert or replace one."""
        created, expires = utc(key.created_at), utc_or_none(key.expires_at)
        row = replace(key, created_at=created, expires_at=expires)
        self._shelf.put({name: getattr(row, name) for name in _KEY})

    def get(self, key: str) -> TrustedKey:
        """Return one by its id."""
        found = self._shelf.fetch(key)
        if found is None:
            raise KeyNotFound(f"There is no key {key}.")
        return _key(found)

    def all(self) -> Sequence[TrustedKey]:
        """Return all, ordered by id."""
        return [_key(row) for row in self._shelf.select()]

    def remove(self, key: str) -> None:
        """Forget one."""
        if not self._shelf.remove(Wanted(equals={"id": key})):
            raise KeyNotFound(f"There is no key {key}.")


_KEY = ("id", "name", "jwk", "repositories", "created_at", "created_by", "expires_at")


def _token_row(token: ApiToken) -> Row:
    return {
        "id": token.id,
        "name": token.name,
        "digest": token.digest,
        "scopes": token.scopes,
        "created_at": utc(token.created_at),
        "created_by": token.created_by,
        "expires_at": utc_or_none(token.expires_at),
        "last_used_at": utc_or_none(token.last_used_at),
        "revoked_at": utc_or_none(token.revoked_at),
    }


def _token(row: Row) -> ApiToken:
    return ApiToken(
        id=cast(str, row["id"]),
        name=cast(str, row["name"]),
        digest=cast(str, row["digest"]),
        scopes=cast("tuple[str, ...]", row["scopes"]),
        created_at=cast(datetime, row["created_at"]),
        created_by=cast(str, row["created_by"]),
        expires_at=cast("datetime | None", row["expires_at"]),
        last_used_at=cast("datetime | None", row["last_used_at"]),
        revoked_at=cast("datetime | None", row["revoked_at"]),
    )


def _key(row: Row) -> TrustedKey:
    return TrustedKey(
        id=cast(str, row["id"]),
        name=cast(str, row["name"]),
        jwk=cast(str, row["jwk"]),
        repositories=cast("tuple[str, ...]", row["repositories"]),
        created_at=cast(datetime, row["created_at"]),
        created_by=cast(str, row["created_by"]),
        expires_at=cast("datetime | None", row["expires_at"]),
    )
