"""Who signs bundles: a signer service, or a key in a file.

SECURITY: no message and no log line has a key, a signature or what was signed.
"""

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from policy_server.bundles.signatures import sign
from policy_server.jose import jws
from policy_server.jose.keys import Jwk, PrivateKey, from_jwk, from_private_jwk, thumbprint, to_jwk
from policy_server.model.bundle import SigningKey
from policy_server.model.errors import FetchError, SigningFailed, TargetRefused, UnusableKey
from policy_server.model.values import Json, JsonObject
from policy_server.net.client import Fetched, GuardedClient

log = logging.getLogger(__name__)

_SAID: Final = 1000
_UNSET: Final = "signer address is not set"
_NO_SIGNATURE: Final = "The signer's answer is not the JSON object it should be."


class Signer(Protocol):
    """Signs, and shows the public key that verifies it; SigningFailed."""

    def public_key(self, key: SigningKey) -> Jwk:
        """Return the public key as a JWK."""

    def sign(self, key: SigningKey, digest: bytes) -> bytes:
        """Return the signature of a digest."""

    def token(self, key: SigningKey, claims: JsonObject) -> str:
        """Return a JSON Web Token with these claims; its header names algorithm and key."""


class NoSigner:
    """Stands in where none is configured."""

    def public_key(self, _key: SigningKey) -> Jwk:
        """Refuse."""
        raise SigningFailed(_UNSET, status=503)

    def sign(self, _key: SigningKey, _digest: bytes) -> bytes:
        """Refuse."""
        raise SigningFailed(_UNSET, status=503)

    def token(self, _key: SigningKey, _claims: JsonObject) -> str:
        """Refuse."""
        raise SigningFailed(_UNSET, status=503)


class RemoteSigner:
    """The signer service of the original: it keeps the keys, we name them."""

    def __init__(self, url: str, client: GuardedClient) -> None:
        """Take its base address and who asks it."""
        self._url = url.rstrip("/")
        self._client = client

    def public_key(self, key: SigningKey) -> Jwk:
        """Ask for the JWK and pass it through; newer signers look for the group in the body, although it is a GET."""
        path = f"/v1/jwk/{quote(key.namespace, safe='')}/{quote(key.key, safe='')}"
        return self._ask("GET", path, _group(key) or None)

    def sign(self, key: SigningKey, digest: bytes) -> bytes:
        """Have a digest signed."""
        data = base64.b64encode(digest).decode()
        answer = self._ask(
            "POST", "/v1/sign", {"key": key.key, "namespace": key.namespace, "data": data, **_group(key)}
        )
        signature = answer.get("signature")
        try:
            signed = base64.b64decode(signature, validate=True) if isinstance(signature, str) else b""
        except (binascii.Error, ValueError):
            signed = b""
        if not signed:
            raise SigningFailed("The signer's answer has no signature.")
        return signed

    def token(self, key: SigningKey, claims: JsonObject) -> str:
        """Have the bytes of a token signed, and see whether that made one.

        The service hashes with SHA-256 whatever the curve, which tokens allow with P-256 only (RFC 7518, 3.4).
        """
        jwk = self.public_key(key)
        try:
            public = from_jwk(jwk)
        except UnusableKey as error:
            raise SigningFailed(f"The signer's key signs no tokens: {error.message}") from error
        name = jwk.get("kid")
        header = _header(name if isinstance(name, str) else thumbprint(public))
        signed = jws.signing_input({"alg": jws.fits(public)[0], **header}, _payload(claims))
        try:
            made = self.sign(key, signed)
            if isinstance(public, ec.EllipticCurvePublicKey):
                made = jws.from_der(made, public.curve.key_size)
            token = jws.join(signed, made)
            good = jws.verifies(public, jws.read_compact(token))
        except (ValueError, OverflowError):
            good = False
        if not good:
            raise SigningFailed(f"The signer signs no tokens with the key {key.key}.")
        return token

    def _ask(self, method: str, path: str, document: Mapping[str, Json] | None = None) -> Jwk:
        headers = {"Accept": "application/json"}
        if document is not None:
            headers["Content-Type"] = "application/json"
        body = None if document is None else json.dumps(document).encode()
        try:
            answer = self._client.fetch(method, self._url + path, body=body, headers=headers)
        except (FetchError, TargetRefused) as error:
            log.warning("the signer cannot be asked: %s", error.message, extra={"action": "bundle.signer"})
            raise SigningFailed("the signer cannot be reached") from error
        if answer.status != 200:
            raise SigningFailed(_said(answer), status=answer.status)
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise SigningFailed(_NO_SIGNATURE) from error
        if not isinstance(found, dict):
            raise SigningFailed(_NO_SIGNATURE)
        return cast(Jwk, found)


class LocalSigner:
    """A private key in a file: PEM without a password, or a JWK.

    It signs whatever namespace and key a policy names. The file is read at
    each use, so that a new key needs no restart and a broken file stops only exports.
    """

    def __init__(self, file: Path) -> None:
        """Take the file; it is not read yet."""
        self._file = file

    def public_key(self, _key: SigningKey) -> Jwk:
        """Return the public half of the key."""
        return to_jwk(self._private().public_key())

    def sign(self, _key: SigningKey, digest: bytes) -> bytes:
        """Sign with the key."""
        return sign(self._private(), digest)

    def token(self, _key: SigningKey, claims: JsonObject) -> str:
        """Sign with the key."""
        private = self._private()
        return jws.sign(private, _header(thumbprint(private.public_key())), _payload(claims))

    def _private(self) -> PrivateKey:
        try:
            return read_private(self._file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            self._fail("cannot be read")
        except UnusableKey as error:
            self._fail(f"holds no usable key: {error.message}")

    def _fail(self, why: str) -> NoReturn:
        raise SigningFailed(f"The file that POLICY_BUNDLE_KEY names {why}")


def read_private(text: str) -> PrivateKey:
    """Read a private key: PEM without a password, or a JWK; UnusableKey, which never quotes the text."""
    try:
        key = _from_pem(text) if text.lstrip().startswith("-----BEGIN") else from_private_jwk(_object(text))
        from_jwk(to_jwk(key.public_key()))
    except (ValueError, TypeError, StopIteration, UnsupportedAlgorithm):
        raise UnusableKey(
            "It is no private key in PEM (without a password) or JWK that bundles are signed with."
        ) from None
    return key


def _from_pem(text: str) -> PrivateKey:
    key = serialization.load_pem_private_key(text.encode(), password=None)
    if not isinstance(key, PrivateKey):
        raise TypeError(type(key).__name__)
    return key


def _object(text: str) -> Jwk:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError(type(document).__name__)
    return cast(Jwk, document)


def _group(key: SigningKey) -> JsonObject:
    return {} if key.group is None else {"group": key.group}


def _header(key: str) -> JsonObject:
    return {"kid": key, "typ": "JWT"}


def _payload(claims: JsonObject) -> bytes:
    return json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()


def _said(answer: Fetched) -> str:
    """Return what the signer says about its refusal, printable and not endless."""
    text = answer.body[: 4 * _SAID].decode("utf-8", "replace").strip()[:_SAID]
    return "".join(character if character.isprintable() else " " for character in text)
