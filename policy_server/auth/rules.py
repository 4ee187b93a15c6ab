"""What a token must be like; apart from what checks it, which takes long to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policy_server.model.principal import Grant

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""SECURITY: all of them need a key pair; with shared secrets (HS…) or ``none`` a public key would sign."""


@dataclass(frozen=True, slots=True)
class BearerRules:
    """What a token must say; empty issuers or audiences are not looked at. ``skew`` is in seconds.

    ``scope_claim`` are the names that lead to the claim. ``roles`` say what its words grant; None means that they are
    scopes of ours. ``ceiling`` bounds what is granted, None does not. ``named`` goes into the names of principals.
    """

    algorithms: tuple[str, ...] = ALGORITHMS
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    skew: float = 30.0
    scope_claim: tuple[str, ...] = ("scope",)
    default_grants: tuple[Grant, ...] = ()
    roles: Mapping[str, tuple[Grant, ...]] | None = None
    ceiling: tuple[Grant, ...] | None = None
    named: str = ""
