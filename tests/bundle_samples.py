"""Keys, and bundles made by hand: good ones and forged ones."""

import json
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from policy_server.bundles.archive import write_zip
from policy_server.bundles.contents import digest_of, write_outer
from policy_server.bundles.opa_archive import pack
from policy_server.bundles.opa_signatures import add_signature
from policy_server.bundles.signatures import sign
from policy_server.jose import jws
from policy_server.jose.keys import PrivateKey, to_jwk

KINDS = ("P-256", "P-384", "P-521", "RSA", "Ed25519")
REGO = "package g.p\n\nallow := true\n"
KEY_URL = "https://peer.example.com/policy/shared/g/p/1.0/key"
_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def private(kind: str, owner: str = "peer") -> PrivateKey:
    """Return a private key; one for each kind and owner in a test run."""
    return _private(kind, owner)


@cache
def _private(kind: str, _owner: str) -> PrivateKey:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else ec.generate_private_key(_CURVES[kind])


def public_jwk(kind: str, owner: str = "peer") -> str:
    """Return the public half as the text of a JWK."""
    return json.dumps(to_jwk(private(kind, owner).public_key()))


def pem(kind: str, owner: str = "peer") -> str:
    """Return a private key in PEM."""
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return private(kind, owner).private_bytes(serialization.Encoding.PEM, form, plain).decode()


def public_pem(kind: str, owner: str = "peer") -> str:
    """Return the public half in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private(kind, owner).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def metadata(policy: str = "shared/g/p/1.0", *, locked: bool = False, key_url: str = KEY_URL) -> bytes:
    """Return metadata.json."""
    repository, group, name, version = policy.split("/")
    about = {"name": name, "group": group, "version": version, "repository": repository}
    about |= {"locked": locked, "lastUpdate": "2024-01-02T03:04:05Z"}
    return json.dumps({"policy": about, "publicKeyURL": key_url}).encode()


def signed(files: list[tuple[str, bytes]], kind: str = "P-256", owner: str = "peer") -> bytes:
    """Return a bundle with these files inside."""
    inner = write_zip(files)
    return write_outer(inner, sign(private(kind, owner), digest_of(inner)))


def bundle(
    policy: str = "shared/g/p/1.0",
    *,
    rego: str = REGO,
    locked: bool = False,
    key_url: str = KEY_URL,
    kind: str = "P-256",
    owner: str = "peer",
    **parts: str,
) -> bytes:
    """Return a good bundle; ``data``, ``data_config``, ``output_schema`` and ``export_config`` may be given."""
    files = [("metadata.json", metadata(policy, locked=locked, key_url=key_url)), ("policy.rego", rego.encode())]
    for part in ("data", "data_config", "output_schema", "export_config"):
        if part in parts:
            files.append((f"{part.replace('_', '-')}.json", parts[part].encode()))
    return signed(files, kind, owner)


OPA_FILES = {
    ".manifest": b'{"revision": "1", "roots": [""], "metadata": {"policy_server": {"policy": "shared/g/p/1.0"}}}',
    "g/p/policy.rego": REGO.encode(),
    "data.json": b'{"admins": ["alice"], "n": 1.50}',
}
"""The files of an OPA bundle that names its policy."""


def opa_signed(kind: str = "P-256", owner: str = "peer", files: dict[str, bytes] | None = None, **claims) -> bytes:
    """Return a signed OPA bundle; ``claims`` go into the token, too."""
    chosen = OPA_FILES if files is None else files
    return pack(add_signature(chosen, lambda payload: token(payload, kind, owner), claims=claims))


def token(payload: object, kind: str = "P-256", owner: str = "peer", **header) -> str:
    """Return a signed token."""
    return jws.sign(private(kind, owner), header, json.dumps(payload).encode())
