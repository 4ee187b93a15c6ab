"""Bundles: policies that travel between servers, signed."""

from dataclasses import dataclass, field
from datetime import datetime

from policy_server.model.policy import Dialect, PolicyId, PolicySource


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a bundle says about itself, before anybody has checked its signature."""

    id: PolicyId
    locked: bool
    last_update: str
    key_url: str


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle taken apart as far as checking its signature needs.

    ``inner`` are the bytes that were signed, ``digest`` is their SHA-256.
    """

    metadata: Metadata
    inner: bytes = field(repr=False)
    digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who has signed a bundle, and where that lets it write; no repositories: wherever only imports are."""

    name: str
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """A policy that was imported; ``last_update`` is what its bundle says, ``locked`` how it is here."""

    id: PolicyId
    locked: bool
    last_update: str
    signer: str


@dataclass(frozen=True, slots=True)
class Exported:
    """A file to hand out: its name, media type and bytes."""

    name: str
    media: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlainBundle:
    """What was read from an OPA bundle; nobody vouches for it. ``id`` is what its manifest says, if anything."""

    id: PolicyId | None
    rego: str
    data: str | None
    revision: str
    roots: tuple[str, ...]
    rego_version: int | None
    files: tuple[str, ...]

    def source(self, policy: PolicyId, *, origin: str) -> PolicySource:
        """Make a source of it under a name."""
        dialect = {0: Dialect.V0, 1: Dialect.V1}.get(-1 if self.rego_version is None else self.rego_version)
        return PolicySource(policy, self.rego, data=self.data, dialect=dialect or Dialect.AUTO, origin=origin)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Which key signs a policy's bundles: export-config.json, read. ``group`` is for signers that know groups."""

    namespace: str
    key: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key to try, with the name its owner is known by."""

    name: str
    jwk: str
    repositories: tuple[str, ...] = ()
    expires_at: datetime | None = None
