"""Compact signatures, beside another implementation of them (joserfc)."""

import hmac
import json

import pytest
from bundle_samples import KINDS, pem, private, public_jwk
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws as other
from joserfc.jwk import JWKRegistry, OctKey

from policy_server.jose import jws
from policy_server.jose.keys import encode

ALGORITHMS = {
    "P-256": ["ES256"],
    "P-384": ["ES384"],
    "P-521": ["ES512"],
    "RSA": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
    "Ed25519": ["EdDSA", "Ed25519"],
}
EVERY = sorted(jws.ASYMMETRIC | jws.SHARED)
OLD = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
CASES = [(kind, algorithm) for kind, names in ALGORITHMS.items() for algorithm in names]


def made_elsewhere(kind: str, algorithm: str) -> str:
    """Return a token of joserfc's."""
    key = JWKRegistry.import_key(pem(kind), "OKP" if kind == "Ed25519" else "RSA" if kind == "RSA" else "EC")
    return other.serialize_compact({"alg": algorithm}, b"hello", key, algorithms=EVERY)


@OLD
@pytest.mark.parametrize(("kind", "algorithm"), CASES)
def test_we_verify_what_others_sign(kind: str, algorithm: str) -> None:
    """With the right key only."""
    token = jws.read_compact(made_elsewhere(kind, algorithm))

    assert (token.payload, token.algorithm) == (b"hello", algorithm)
    assert jws.verifies(private(kind).public_key(), token)
    assert not jws.verifies(private(kind, "somebody else").public_key(), token)


@OLD
@pytest.mark.parametrize("kind", KINDS)
def test_others_verify_what_we_sign(kind: str) -> None:
    """With the algorithm that fits the key best."""
    made = jws.sign(private(kind), {"kid": "k"}, b"hello")

    key = JWKRegistry.import_key(json.loads(public_jwk(kind)))
    found = other.deserialize_compact(made, key, algorithms=EVERY)
    assert (found.payload, found.headers()) == (b"hello", {"alg": ALGORITHMS[kind][0], "kid": "k"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("claimed", [*EVERY, "none", "None", "", "es256"])
def test_a_header_never_chooses_the_algorithm(kind: str, claimed: str) -> None:
    """A signature that is good by any other name is refused, and so is one made with the public key as secret."""
    public = private(kind).public_key()
    signed = jws.signing_input({"alg": claimed}, b"hello")
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    right = jws.read_compact(jws.sign(private(kind), {"alg": claimed}, b"hello"))
    forged = [right.signature, b"", hmac.digest(text, signed, "sha256")]

    for signature in forged:
        token = jws.read_compact(jws.join(signed, signature))
        fitting = claimed in ALGORITHMS[kind] and signature == right.signature
        assert not jws.verifies(public, token) or fitting


def test_a_shared_secret_is_a_way_of_its_own() -> None:
    """Never for a token that names an algorithm with a public key."""
    made = other.serialize_compact({"alg": "HS256"}, b"hello", OctKey.import_key(b"s" * 32), algorithms=EVERY)

    assert jws.verifies_shared(b"s" * 32, jws.read_compact(made))
    assert not jws.verifies_shared(b"t" * 32, jws.read_compact(made))
    assert not jws.verifies_shared(b"s" * 32, jws.read_compact(made_elsewhere("P-256", "ES256")))


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg": "ES256", "crit": ["exp"]}',
        b'{"alg": "ES256", "b64": false}',
        b'{"alg": "ES256", "alg": "none"}',
        b'{"alg": 7}',
        b'{"kid": "x"}',
        b"[]",
        b"{",
        b"\xff",
    ],
)
def test_odd_headers_are_refused(header: bytes) -> None:
    """Before anything is verified."""
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        jws.read_compact(f"{encode(header)}.e30.AAAA")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "e30=.e30.AA", "e30.e30.A", "e30.e30.AB", "e30.é.AA"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Other spellings of the same bytes, too."""
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        jws.read_compact(token)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_every_changed_bit_is_noticed(kind: str, data: st.DataObject) -> None:
    """In the header, the payload or the signature."""
    token = jws.read_compact(jws.sign(private(kind), {}, b"some payload"))
    whole = bytearray(token.signed + token.signature)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8

    changed = jws.Compact(
        token.header, token.payload, bytes(whole[: len(token.signed)]), bytes(whole[len(token.signed) :])
    )
    assert not jws.verifies(private(kind).public_key(), changed)
