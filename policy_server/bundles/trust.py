"""Who is trusted to sign bundles.

Keys are pinned: in the store, and in a file the operator names. Besides, issuers
can be trusted: addresses under which the key that a bundle points to is fetched,
and DIDs of the method ``web``, whose documents have the keys. A bundle alone
can never say which key verifies it: anybody could sign with a key of his own.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from policy_server.bundles.incoming import Incoming
from policy_server.jose.keys import Jwk, PublicKey, read_keys
from policy_server.model.bundle import PinnedKey, Voucher
from policy_server.model.errors import BundleUnverified, FetchError, TargetRefused, UnusableKey
from policy_server.net.client import GuardedClient
from policy_server.ports import Clock, KeyStore

_DID: Final = "did:web:"
_PORTS: Final = {"http": 80, "https": 443}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose keys are fetched: an address under which they all are, or a DID of the method ``web``.

    ``repositories`` are those it may write; none: wherever only its imports are.
    """

    name: str
    repositories: tuple[str, ...] = ()


class Trust:
    """Finds who vouches for a bundle."""

    def __init__(
        self, keys: KeyStore, client: GuardedClient, clock: Clock, *, file: Path | None, issuers: Sequence[Issuer]
    ) -> None:
        """Take where keys are; nothing is read or fetched yet."""
        self._keys = keys
        self._client = client
        self._clock = clock
        self._file = file
        self._issuers = tuple(issuers)

    def vouch(self, bundle: Incoming) -> Voucher:
        """Return who has signed a bundle.

        Raises:
            BundleUnverified: nobody who is trusted; a key under an issuer that cannot be fetched counts as none.
        """
        for pinned, jwk, key in self._pinned():
            if bundle.signed_by(jwk, key):
                return Voucher(pinned.name, pinned.repositories)
        where = bundle.key_url
        issuer = next((each for each in self._issuers if key_address(each.name, where) is not None), None)
        if issuer is None:
            scope = f" for the scope {bundle.scope[:60]!r}" if bundle.scope else ""
            raise BundleUnverified(
                f"No pinned key has signed this bundle{scope}, and the key it names is not that of a trusted issuer."
            )
        if any(bundle.signed_by(jwk, key) for jwk, key in self._fetched(issuer, where)):
            return Voucher(issuer.name, issuer.repositories)
        raise BundleUnverified(f"The signature does not fit the key of {issuer.name}.")

    def _pinned(self) -> Iterator[tuple[PinnedKey, Jwk, PublicKey]]:
        """Yield the keys that have not expired; one that cannot be read is passed over with a warning."""
        at = self._clock()
        kept = [PinnedKey(key.name, key.jwk, key.repositories, key.expires_at) for key in self._keys.all()]
        for pinned in [*self._from_file(), *kept]:
            if pinned.expires_at is not None and pinned.expires_at <= at:
                continue
            try:
                yield from ((pinned, jwk, key) for jwk, key in read_keys(pinned.jwk))
            except UnusableKey as error:
                log.warning("trusted key %s: %s", pinned.name, error.message, extra={"action": "bundle.key"})

    def _from_file(self) -> list[PinnedKey]:
        """Read the operator's file, each time: keys can be changed without a restart."""
        if self._file is None:
            return []
        try:
            return read_trusted(self._file.read_text(encoding="utf-8"), name=self._file.name)
        except (OSError, UnicodeDecodeError, UnusableKey) as error:
            reason = error.message if isinstance(error, UnusableKey) else "it cannot be read"
            log.warning("trusted keys in %s: %s", self._file, reason, extra={"action": "bundle.key"})
            return []

    def _fetched(self, issuer: Issuer, where: str) -> list[tuple[Jwk, PublicKey]]:
        url = cast(str, key_address(issuer.name, where))
        try:
            answer = self._client.fetch("GET", url, headers={"Accept": "application/json"})
            if answer.status != 200:
                raise BundleUnverified(f"The key of {issuer.name} was answered with status {answer.status}.")
            text = answer.body.decode()
            if issuer.name.startswith(_DID):
                text = _keys_of_did(text, issuer.name, where)
            return read_keys(text)
        except (FetchError, TargetRefused, UnusableKey, UnicodeDecodeError) as error:
            reason = getattr(error, "message", "it is not UTF-8")
            raise BundleUnverified(f"The key of {issuer.name} cannot be had: {reason}") from error


def key_address(issuer: str, where: str) -> str | None:
    """Return the address a key is fetched from, None when it does not belong to this issuer.

    For an address prefix, scheme, host and port must be equal; the path must be
    its path, or lie under it (whole segments) and end in ``/key``: other answers of a
    trusted server, such as those of evaluations, may be in the hands of others. For a DID the bundle names the DID
    itself, or an https address of its host; the key then comes from its document.
    """
    if issuer.startswith(_DID):
        own = did_document(issuer)
        named = where.partition("#")[0] == issuer
        return own if named or _origin(where) == _origin(own) is not None else None
    if _origin(where) is None or _origin(where) != _origin(issuer):
        return None
    parts, prefix = urlsplit(where), urlsplit(issuer).path.rstrip("/")
    under = parts.path.startswith(f"{prefix}/") and parts.path.endswith("/key")
    plain = not (parts.query or parts.fragment) and _is_plain(parts.path)
    return where if plain and (under or parts.path == prefix) else None


def did_document(did: str) -> str:
    """Return the address of the document of a ``did:web``."""
    host, *path = did.removeprefix(_DID).split(":")
    return f"https://{unquote(host)}/{'/'.join(path) if path else '.well-known'}/did.json"


def read_trusted(text: str, *, name: str) -> list[PinnedKey]:
    """Read a file of trusted keys; UnusableKey.

    PEM and a single JWK are one key. In a JWK Set each key may have members of
    ours: ``name``, ``repositories`` and ``expires_at`` (RFC 3339).
    """
    pinned = []
    for jwk, _ in read_keys(text):
        repositories, expires = jwk.get("repositories", []), jwk.get("expires_at")
        if not isinstance(repositories, list) or not all(isinstance(each, str) for each in repositories):
            raise UnusableKey("'repositories' of a key must be a list of names.")
        shown = str(jwk.get("name") or jwk.get("kid") or name)
        pinned.append(PinnedKey(shown, json.dumps(jwk), tuple(map(str, repositories)), _time(expires)))
    return pinned


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise UnusableKey("'expires_at' of a key must be a time such as 2030-01-01T00:00:00Z.") from error
    if at.tzinfo is None:
        raise UnusableKey("'expires_at' of a key must have a zone: 2030-01-01T00:00:00Z.")
    return at


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port; None when the address is none, or has a user in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if "\\" in url or not url.isascii() or not url.isprintable() or " " in url:
        return None
    return parts.scheme, parts.hostname.lower().rstrip("."), port or _PORTS[parts.scheme]


def _is_plain(path: str) -> bool:
    """Tell whether a path stays where it seems to be: no dot segments, however they are written."""
    segments = unquote(unquote(path)).replace("\\", "/").split("/")
    return not any(segment in {".", ".."} for segment in segments)


def _keys_of_did(text: str, did: str, where: str) -> str:
    """Return a DID document's keys as a JWK Set; the one that the bundle names, when it names one."""
    try:
        document = json.loads(text)
        methods = document["verificationMethod"] if document["id"] == did else []
        wanted = where if where.startswith(f"{did}#") else ""
        jwks = [
            method["publicKeyJwk"]
            for method in methods
            if not wanted or method.get("id") in {wanted, wanted.removeprefix(did)}
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableKey("The DID document is damaged.") from error
    return json.dumps({"keys": jwks})
