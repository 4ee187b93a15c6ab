"""Public and private keys as JSON Web Keys (RFC 7517, 8037) and PEM: EC, RSA and Ed25519; never shared secrets."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from policy_server.model.errors import UnusableKey
from policy_server.model.values import Json

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Jwk = dict[str, Json]

CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_RSA_BITS: Final = range(2048, 4097)
_MOST_KEYS: Final = 32


def read_keys(text: str) -> list[tuple[Jwk, PublicKey]]:
    """Read public keys: PEM, a JWK, or a JWK Set (keys of other kinds in it are passed over).

    Raises:
        UnusableKey: there is no key that can be used here.
    """
    if text.lstrip().startswith("-----BEGIN"):
        key = _supported(_from_pem(text))
        return [(to_jwk(key), key)]
    document = _object(text)
    keys = document.get("keys", [document])
    listed = keys[:_MOST_KEYS] if isinstance(keys, list) else []
    found: list[tuple[Jwk, PublicKey]] = []
    for jwk in listed:
        if isinstance(jwk, dict) and jwk.get("use", "sig") == "sig":
            try:
                found.append((jwk, from_jwk(jwk)))
            except UnusableKey:
                if len(listed) == 1:
                    raise
    if not found:
        raise UnusableKey("There is no public key of a kind that is used here: EC, RSA or Ed25519.")
    return found


def from_jwk(jwk: Mapping[str, Json]) -> PublicKey:
    """Read one JWK; UnusableKey when it cannot be used here."""
    try:
        return _supported(_from_jwk(jwk))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("The JWK is damaged, or of a kind that is not used here.") from error


def to_jwk(key: PublicKey) -> Jwk:
    """Write a public key as JWK, named by its thumbprint."""
    members: Jwk
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.curve.key_size + 7) // 8
        name = next(name for name, curve in CURVES.items() if curve.name == key.curve.name)
        members = {"crv": name, "kty": "EC", "x": _number(point.x, size), "y": _number(point.y, size)}
    elif isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        members = {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    else:
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        members = {"crv": "Ed25519", "kty": "OKP", "x": encode(raw)}
    return {**members, "kid": _thumbprint(members), "use": "sig"}


def thumbprint(key: PublicKey) -> str:
    """Return what names a key whoever describes it: its RFC 7638 thumbprint, SHA-256."""
    return cast(str, to_jwk(key)["kid"])


def from_private_jwk(jwk: Mapping[str, Json]) -> PrivateKey:
    """Read a private JWK; UnusableKey when it is none that can sign."""
    try:
        public = _from_jwk(jwk)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return ec.EllipticCurvePrivateNumbers(_integer(jwk, "d"), public.public_numbers()).private_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return ed25519.Ed25519PrivateKey.from_private_bytes(decode(jwk.get("d")))
        p, q, d = (_integer(jwk, name) for name in ("p", "q", "d"))
        exponents = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        return rsa.RSAPrivateNumbers(p, q, d, *exponents, public.public_numbers()).private_key()
    except (ValueError, TypeError, ZeroDivisionError, UnsupportedAlgorithm):
        # SECURITY: the cause is dropped; its message could quote the key.
        raise UnusableKey("The private JWK is damaged, or of a kind that is not used here.") from None


def decode(text: Json) -> bytes:
    """Read base64url, with or without padding; ValueError, TypeError when it is no text."""
    if not isinstance(text, str):
        raise TypeError("not a text")
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def encode(content: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _from_jwk(jwk: Mapping[str, Json]) -> PublicKey:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "EC" and isinstance(curve, str) and curve in CURVES:
        return ec.EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), CURVES[curve]).public_key()
    if kind == "RSA":
        return rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
    if kind == "OKP" and curve == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk.get("x")))
    raise ValueError("a kind that is not used here")


def _from_pem(text: str) -> object:
    try:
        return serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("The PEM text holds no public key.") from error


def _supported(key: object) -> PublicKey:
    """Return the key when it is of a kind and size that is used here; UnusableKey."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in {curve.name for curve in CURVES.values()}:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise UnusableKey("Keys are EC P-256, P-384, P-521, RSA of 2048 to 4096 bits, or Ed25519.")


def _object(text: str) -> Jwk:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableKey("The key is neither PEM nor JSON.") from error
    if not isinstance(document, dict):
        raise UnusableKey("The key is no JWK and no JWK Set.")
    return cast(Jwk, document)


def _integer(jwk: Mapping[str, Json], name: str) -> int:
    raw = decode(jwk.get(name))
    if not 0 < len(raw) <= 1024:
        raise ValueError("no number of a key")
    return int.from_bytes(raw)


def _number(value: int, size: int | None = None) -> str:
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8))


def _thumbprint(members: Jwk) -> str:
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())
