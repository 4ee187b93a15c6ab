"""An issuer and a holder of SD-JWTs, by the book (RFC 9901)."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence

from bundle_samples import private, public_jwk

from policy_server.jose import jws
from policy_server.jose.keys import encode

AT = 1_700_000_000
"""The time of tests, seconds since the epoch."""

ISSUER = json.loads(public_jwk("P-256", "issuer"))
HOLDER = json.loads(public_jwk("Ed25519", "holder"))
BOUND = {"aud": "https://verifier.example.org", "nonce": "n-0S6"}
_salts = itertools.count()


def disclosure(*content: object) -> str:
    """Write a disclosure: a name and a value, or the value of an element; a salt of fixed length is added."""
    return encode(json.dumps([f"salt-{next(_salts):012}", *content]).encode())


def digest(text: str, algorithm: str = "sha256") -> str:
    """Return the digest of a disclosure, or of a presentation."""
    return encode(hashlib.new(algorithm, text.encode()).digest())


def issue(claims: Mapping[str, object], *, kind: str = "P-256", owner: str = "issuer", **header: object) -> str:
    """Sign claims as they are."""
    return jws.sign(private(kind, owner), {"typ": "dc+sd-jwt", **header}, json.dumps(claims).encode())


def present(issued: str, disclosures: Sequence[str] = ()) -> str:
    """Join what the issuer has signed and what is disclosed."""
    return "~".join([issued, *disclosures, ""])


def bind(presented: str, *, owner: str = "holder", typ: str = "kb+jwt", **claims: object) -> str:
    """Have the holder sign a presentation; a claim that is None is left out."""
    said = {**BOUND, "iat": AT, "sd_hash": digest(presented), **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return presented + jws.sign(private("Ed25519", owner), {"typ": typ}, json.dumps(said).encode())
