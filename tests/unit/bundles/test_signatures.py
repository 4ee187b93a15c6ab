"""The three kinds of key."""

import base64
import hashlib
import json

import pytest
from bundle_samples import KINDS, private, public_jwk
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given
from hypothesis import strategies as st

from policy_server.bundles.signatures import sign, verifies
from policy_server.jose.keys import from_private_jwk, read_keys, thumbprint, to_jwk
from policy_server.model.errors import UnusableKey

DIGEST = hashlib.sha256(b"bundle").digest()
TWICE = hashlib.sha256(DIGEST).digest()
SHA256 = hashes.SHA256()
RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_ec_signs_the_digest_hashed_once_more() -> None:
    """ASN.1 DER over SHA-256 of the SHA-256, whatever the curve."""
    for kind in ("P-256", "P-384", "P-521"):
        signature = private(kind).sign(TWICE, ec.ECDSA(Prehashed(SHA256)))

        assert verifies(private(kind).public_key(), DIGEST, signature), kind


@pytest.mark.parametrize("salt", [0, 20, 32, padding.PSS.MAX_LENGTH])
def test_rsa_signs_the_digest_hashed_once_more(salt: int) -> None:
    """PSS with SHA-256 for both, and any length of salt."""
    signature = private("RSA").sign(TWICE, padding.PSS(padding.MGF1(SHA256), salt), Prehashed(SHA256))

    assert verifies(private("RSA").public_key(), DIGEST, signature)


def test_ed25519_signs_the_digest_itself() -> None:
    """It is not hashed again."""
    assert verifies(private("Ed25519").public_key(), DIGEST, private("Ed25519").sign(DIGEST))


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_sign_is_verified_by_that_key_only(kind: str) -> None:
    """By no other key, and for no other digest."""
    signature = sign(private(kind), DIGEST)

    assert verifies(private(kind).public_key(), DIGEST, signature)
    assert not verifies(private(kind, "attacker").public_key(), DIGEST, signature)
    assert not verifies(private(kind).public_key(), TWICE, signature)


@pytest.mark.parametrize("kind", KINDS)
@given(signature=st.binary(max_size=80))
def test_no_bytes_are_a_signature_by_chance(kind: str, signature: bytes) -> None:
    """Damaged signatures are wrong, not errors."""
    assert not verifies(private(kind).public_key(), DIGEST, signature)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_written_as_jwk_and_read_back(kind: str) -> None:
    """With the same numbers."""
    ((jwk, key),) = read_keys(public_jwk(kind))

    assert to_jwk(key) == jwk
    assert jwk["kid"] == thumbprint(key)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_read_from_pem(kind: str) -> None:
    """As openssl writes them."""
    public = private(kind).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo

    ((_, key),) = read_keys(public.public_bytes(serialization.Encoding.PEM, form).decode())

    assert to_jwk(key) == to_jwk(public)


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of the standard."""
    ((_, key),) = read_keys(json.dumps(RFC_7638))

    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_set_may_have_keys_of_other_kinds() -> None:
    """They are passed over; so are those for encryption."""
    encryption = {**json.loads(public_jwk("P-384")), "use": "enc"}
    keys = [{"kty": "oct", "k": "AAAA"}, encryption, json.loads(public_jwk("Ed25519")), 7]

    found = read_keys(json.dumps({"keys": keys}))

    assert [jwk["kty"] for jwk, _ in found] == ["OKP"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"keys": []}',
        '{"keys": {}}',
        '{"kty": "oct", "k": "AAAA"}',
        '{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}',
        '{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}',
        '{"kty": "EC", "crv": ["P-256"], "x": "AA", "y": "AA"}',
        '{"kty": "RSA", "n": "!", "e": "AQAB"}',
        '{"kty": "RSA", "n": "AQAB", "e": "AQAB"}',
        '{"kty": "OKP", "crv": "Ed25519", "x": "AA"}',
        '{"kty": "OKP", "crv": "Ed25519", "x": 7}',
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "[" * 100_000,
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """With one kind of error."""
    with pytest.raises(UnusableKey):
        read_keys(text)


@pytest.mark.parametrize("bits", [1024, 4608])
def test_rsa_keys_of_odd_sizes_are_refused(bits: int) -> None:
    """Too short is unsafe, too long is slow."""
    modulus = base64.urlsafe_b64encode(((1 << bits) - 1).to_bytes(bits // 8)).decode()

    with pytest.raises(UnusableKey):
        read_keys(json.dumps({"kty": "RSA", "n": modulus, "e": "AQAB"}))


@pytest.mark.parametrize("kind", KINDS)
def test_private_keys_are_read_from_jwk(kind: str) -> None:
    """The numbers that cannot be computed are enough."""
    key, jwk = private(kind), json.loads(public_jwk(kind))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        jwk["d"] = number(int.from_bytes(key.private_bytes_raw()), 32)
    elif isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        jwk |= {"p": number(numbers.p), "q": number(numbers.q), "d": number(numbers.d)}
    else:
        jwk["d"] = number(key.private_numbers().private_value)

    assert to_jwk(from_private_jwk(jwk).public_key()) == to_jwk(key.public_key())


def number(value: int, size: int | None = None) -> str:
    """Write a number as JWK has it."""
    return base64.urlsafe_b64encode(value.to_bytes(size or (value.bit_length() + 7) // 8)).rstrip(b"=").decode()
