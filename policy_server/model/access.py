"""Tokens that callers show, and keys that bundles are trusted by."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for the API; only ``digest``, the SHA-256 of the token in hex, is ever kept."""

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key (``jwk`` is the text of a JWK) whose bundles may be imported into ``repositories``; empty: any."""

    id: str
    name: str
    jwk: str
    repositories: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
