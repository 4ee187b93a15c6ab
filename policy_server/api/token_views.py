"""The JSON shapes of API tokens."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Scopes = Annotated[
    list[str], Meta(description="A role (evaluate, read, edit, publish, admin), or one in a repository: read:mine.")
]


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new token is to be; ``expires_at`` with a zone, without it the token has no end."""

    name: str
    scopes: Scopes
    expires_at: datetime | None = None


class TokenView(Struct, frozen=True):
    """An API token without the token; ``last_used_at`` is exact to a minute."""

    id: str
    name: str
    scopes: Scopes
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewToken(TokenView, frozen=True, kw_only=True):
    """A new API token; ``token`` is never shown again."""

    token: str


class TokenList(Struct, frozen=True):
    """All API tokens, oldest first."""

    tokens: list[TokenView]
