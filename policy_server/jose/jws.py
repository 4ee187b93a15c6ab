"""Compact JSON Web Signatures (RFC 7515, 7518, 8037): taken apart, checked, made.

SECURITY: what a key may be used for follows from the key, never from the header of
a token: a header that asks for anything else is refused. ``none`` and shared secrets
are no algorithms here.
"""

import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from policy_server.jose.keys import PrivateKey, PublicKey, encode
from policy_server.jose.keys import decode as decode_padded
from policy_server.model.values import Json

Header = Mapping[str, Json]

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA: Final = ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512")

ASYMMETRIC: Final = frozenset({*_RSA, *_CURVES.values(), "EdDSA", "Ed25519"})
"""Every algorithm with a public key; ``Ed25519`` is RFC 9864's name for what ``EdDSA`` is with such a key."""

SHARED: Final = frozenset({"HS256", "HS384", "HS512"})
"""Algorithms with a shared secret; ``fits`` never allows one."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A signature in compact form. ``payload`` are the bytes it carries, ``signed`` those that were signed."""

    header: Header
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The header's ``alg``."""
        return cast(str, self.header["alg"])

    @property
    def key_id(self) -> str:
        """The header's ``kid``, or ""."""
        named = self.header.get("kid")
        return named if isinstance(named, str) else ""


def read_compact(token: str) -> Compact:
    """Take a token apart; nothing is verified yet.

    Raises:
        ValueError: it has not three parts of base64url, no algorithm in its header, or there ``crit``: extensions
            that must be understood (RFC 7515, 4.1.11), and none is.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("a signed token has three parts")
    header = read_members(decode(parts[0]))
    if not isinstance(header.get("alg"), str):
        raise ValueError("the header names no algorithm")  # noqa: TRY004 - the caller knows one error
    if "crit" in header or "b64" in header:
        raise ValueError("the header asks for extensions that are not known here")
    return Compact(header, decode(parts[1]), f"{parts[0]}.{parts[1]}".encode(), decode(parts[2]))


def read_members(content: bytes) -> dict[str, Json]:
    """Read a JSON object in UTF-8; ValueError when it is none, or as ``read_json``."""
    found = read_json(content)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - the caller knows one error
    return found


def read_json(content: bytes) -> Json:
    """Read a JSON text in UTF-8.

    Raises:
        ValueError: it is none, has a member twice (RFC 7515, 4), half a character, or a number beyond all doubles.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_double)
        if b"\\u" in content:
            json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return cast(Json, found)


def decode(text: str) -> bytes:
    """Read base64url as RFC 7515 writes it: no padding, no other spelling of the same bytes; ValueError."""
    content = decode_padded(text)
    if encode(content) != text:
        raise ValueError("not base64url without padding")
    return content


def fits(key: PublicKey) -> tuple[str, ...]:
    """Return the algorithms that a key may be used for, the one we sign with first."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (_CURVES[key.curve.name],)
    return _RSA if isinstance(key, rsa.RSAPublicKey) else ("EdDSA", "Ed25519")


def verifies(key: PublicKey, token: Compact) -> bool:
    """Tell whether a key has signed a token, with an algorithm that fits it."""
    if token.algorithm not in fits(key):
        return False
    try:
        _check(key, token)
    except (InvalidSignature, ValueError):
        return False
    return True


def verifies_shared(secret: bytes, token: Compact) -> bool:
    """Tell whether a token was signed with a shared secret, by one of the ``SHARED`` algorithms."""
    if token.algorithm not in SHARED:
        return False
    made = hmac.digest(secret, token.signed, f"sha{token.algorithm[2:]}")
    return hmac.compare_digest(made, token.signature)


def signing_input(header: Header, payload: bytes) -> bytes:
    """Return the bytes that are signed (RFC 7515, 5.1)."""
    return f"{encode(_compact(header))}.{encode(payload)}".encode()


def join(signed: bytes, signature: bytes) -> str:
    """Return the token."""
    return f"{signed.decode()}.{encode(signature)}"


def sign(key: PrivateKey, header: Header, payload: bytes) -> str:
    """Return a signed token; its ``alg`` is the first that fits the key."""
    algorithm = fits(key.public_key())[0]
    signed = signing_input({"alg": algorithm, **header}, payload)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        made = from_der(key.sign(signed, ec.ECDSA(_hash(algorithm))), key.curve.key_size)
    elif isinstance(key, rsa.RSAPrivateKey):
        made = key.sign(signed, _padding(algorithm), _hash(algorithm))
    else:
        made = key.sign(signed)
    return join(signed, made)


def from_der(signature: bytes, bits: int) -> bytes:
    """Write an ECDSA signature as JWS does: both numbers in the full length of the curve (RFC 7518, 3.4)."""
    size = (bits + 7) // 8
    return b"".join(number.to_bytes(size) for number in decode_dss_signature(signature))


def _check(key: PublicKey, token: Compact) -> None:
    algorithm, signature = token.algorithm, token.signature
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.curve.key_size + 7) // 8
        if len(signature) != 2 * size:
            raise InvalidSignature
        numbers = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.verify(encode_dss_signature(*numbers), token.signed, ec.ECDSA(_hash(algorithm)))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, token.signed, _padding(algorithm), _hash(algorithm))
    else:
        key.verify(signature, token.signed)


def _hash(algorithm: str) -> hashes.HashAlgorithm:
    return _HASHES[algorithm[2:]]


def _padding(algorithm: str) -> padding.AsymmetricPadding:
    """Return RSA's padding; the salt of PSS is as long as the hash (RFC 7518, 3.5)."""
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_hash(algorithm)), padding.PSS.DIGEST_LENGTH)


def _compact(members: Header) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a member is there twice")
    return made


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
