"""Verifies SD-JWTs and the holder's key binding (RFC 9901, section 7), and what SD-JWT VCs add to that.

A ValueError says why a token is not valid.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policy_server.jose import jws
from policy_server.jose.jws import Compact
from policy_server.jose.keys import Jwk, PublicKey, from_jwk
from policy_server.jose.sd_jwt import SdJwt
from policy_server.model.errors import UnusableKey
from policy_server.model.values import Json, JsonObject

TYPES: Final = ("dc+sd-jwt", "vc+sd-jwt")
"""``typ`` of SD-JWT VCs: now, and before (draft-ietf-oauth-sd-jwt-vc, 3.2.1)."""

_BINDING: Final = "kb+jwt"
_NEVER_HIDDEN: Final = frozenset({"iss", "aud", "exp", "nbf", "cnf"})
_NEVER_HIDDEN_VC: Final = _NEVER_HIDDEN | {"vct", "vct#integrity", "status"}
"""What no holder may hide, because it decides whether the token is valid (9.7; SD-JWT VC, 3.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What the holder's token must be for: audience and nonce. ``max_age`` is in seconds."""

    audience: str
    nonce: str
    max_age: float = 300.0
    algorithms: Collection[str] = jws.ASYMMETRIC


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be.

    ``keys`` are the issuer's, ``at`` is the time and ``leeway`` how far clocks may be apart, both in seconds. ``types``
    are the values that ``vct`` may have; None: it is no matter. With ``binding`` the holder's token is
    verified; without, it is not looked at, whether there is one or not (7.3, step 1).
    """

    keys: Sequence[tuple[Jwk, PublicKey]]
    at: float
    leeway: float = 30.0
    algorithms: Collection[str] = jws.ASYMMETRIC
    issuer: str | None = None
    audience: str | None = None
    types: Collection[str] | None = None
    binding: Binding | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token that is valid, and those of the holder's token where it was verified."""

    payload: JsonObject
    binding: JsonObject | None


def verify(token: SdJwt, expected: Expected) -> Verified:
    """Return what a valid token says; ValueError."""
    if not any(_signed(token.issued, jwk, key, expected.algorithms) for jwk, key in expected.keys):
        raise ValueError("the issuer's signature is not by a key and an algorithm that are allowed")
    payload = token.resolved()
    hidden = (_NEVER_HIDDEN_VC if _is_vc(token) else _NEVER_HIDDEN) & (payload.keys() - token.claims().keys())
    if hidden:
        raise ValueError(f"the claim {min(hidden)} may not be one that the holder can hide")
    _check_times(payload, expected.at, expected.leeway)
    _check_names(token, payload, expected)
    binding = None if expected.binding is None else _verify_binding(token, payload, expected.binding, expected)
    return Verified(payload, binding)


def _is_vc(token: SdJwt) -> bool:
    return token.issued.header.get("typ") in TYPES


def _signed(token: Compact, jwk: Mapping[str, Json], key: PublicKey, algorithms: Collection[str]) -> bool:
    """Tell whether a key has signed, which its description does not keep from that."""
    kid, operations = jwk.get("kid"), jwk.get("key_ops")
    if token.key_id and isinstance(kid, str) and kid != token.key_id:
        return False
    if isinstance(operations, list) and "verify" not in operations:
        return False
    fitting = jwk.get("alg", token.algorithm) == token.algorithm and token.algorithm in algorithms
    return fitting and jws.verifies(key, token)


def _check_times(claims: Mapping[str, Json], at: float, leeway: float) -> None:
    """Compare ``exp``, ``nbf`` and ``iat`` with the time (RFC 7519, 4.1); those that are missing are no matter."""
    expires, begins, made = (_number(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and at >= expires + leeway:
        raise ValueError("it has expired")
    if begins is not None and at + leeway < begins:
        raise ValueError("it is not valid yet")
    if made is not None and at + leeway < made:
        raise ValueError("it was issued in the future")


def _number(claims: Mapping[str, Json], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")  # noqa: TRY004 - the caller knows one error
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is no time") from error


def _check_names(token: SdJwt, claims: Mapping[str, Json], expected: Expected) -> None:
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        raise ValueError("it is from another issuer")
    if "aud" in claims:  # RFC 7519, 4.1.3: whoever it is not for must refuse it
        audience = claims["aud"]
        if expected.audience is None or expected.audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise ValueError("it is for another audience")
    elif expected.audience is not None:
        raise ValueError("it is for nobody in particular")
    if expected.types is not None and (not _is_vc(token) or claims.get("vct") not in expected.types):
        raise ValueError("it is no credential of a type that is wanted")


def _verify_binding(token: SdJwt, claims: Mapping[str, Json], wanted: Binding, expected: Expected) -> JsonObject:
    """Verify that the holder has presented this, now, to us (7.3, step 5)."""
    bound = token.key_binding
    if bound is None:
        raise ValueError("the holder's key binding is missing")
    if bound.header.get("typ") != _BINDING:
        raise ValueError(f"the type of the key binding is not {_BINDING}")
    jwk, key = _holder(claims)
    if not _signed(bound, {**jwk, "kid": None}, key, wanted.algorithms):
        raise ValueError("the key binding is not signed by the holder")
    said = jws.read_members(bound.payload)
    _check_times(said, expected.at, expected.leeway)
    made = _number(said, "iat")
    if made is None or expected.at - made > wanted.max_age + expected.leeway:
        raise ValueError("the key binding is too old, or says no time")
    if said.get("aud") != wanted.audience:
        raise ValueError("the key binding is for another audience")
    if said.get("nonce") != wanted.nonce:
        raise ValueError("the key binding is for another nonce")
    hashed = said.get("sd_hash")
    if not isinstance(hashed, str) or not hmac.compare_digest(hashed.encode(), token.hash(token.presented).encode()):
        raise ValueError("the key binding is for other disclosures")
    return said


def _holder(claims: Mapping[str, Json]) -> tuple[Jwk, PublicKey]:
    """Return the holder's key, ``cnf`` with a ``jwk`` (RFC 7800, 3.2)."""
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    if not isinstance(jwk, dict):
        raise ValueError("it names no key of the holder (cnf with a jwk)")  # noqa: TRY004 - the caller knows one error
    try:
        return jwk, from_jwk(jwk)
    except UnusableKey as error:
        raise ValueError("the key of the holder cannot be used") from error
