"""Bundles as they arrive, of either kind: who may have signed them, and what policy is in them.

Nothing of the policy is read before somebody vouches for the bundle.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from policy_server.bundles.contents import check_parts, go_time, open_bundle, source_of
from policy_server.bundles.opa import read_files
from policy_server.bundles.opa_archive import is_gzip, unpack
from policy_server.bundles.opa_signatures import OpaSignature, check_files, find_signature
from policy_server.bundles.signatures import verifies
from policy_server.jose import jws
from policy_server.jose.keys import Jwk, PublicKey
from policy_server.model.bundle import SignedBundle
from policy_server.model.errors import BrokenBundle, BundleUnverified, InputError, InvalidBundle
from policy_server.model.policy import PolicyId, PolicySource

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class Incoming(Protocol):
    """A bundle that has not been trusted yet.

    ``key_url`` is where its signer says his key is. ``locked`` and ``last_update`` count once it is trusted.
    """

    @property
    def key_url(self) -> str:
        """Where the signer's key is, as he says."""

    @property
    def scope(self) -> str:
        """What it was signed for; empty: for everything."""

    @property
    def locked(self) -> bool:
        """Whether the policy is to be locked."""

    @property
    def last_update(self) -> str:
        """When the policy was changed last, RFC 3339."""

    def signed_by(self, jwk: Jwk, key: PublicKey) -> bool:
        """Tell whether a key has signed it; ``jwk`` is how the key is described where it is trusted.

        Raises:
            BundleUnverified: it has, but something was changed since.
        """

    def source(self, *, origin: str) -> PolicySource:
        """Return the policy in it; BrokenBundle when there is none."""


@dataclass(frozen=True, slots=True)
class ZipBundle:
    """The policy service's."""

    opened: SignedBundle
    scope: str = ""

    @property
    def key_url(self) -> str:
        """The address in its metadata."""
        return self.opened.metadata.key_url

    @property
    def locked(self) -> bool:
        """What its metadata says."""
        return self.opened.metadata.locked

    @property
    def last_update(self) -> str:
        """What its metadata says."""
        return self.opened.metadata.last_update

    def signed_by(self, _jwk: Jwk, key: PublicKey) -> bool:
        """Verify the signature over the inner file."""
        return verifies(key, self.opened.digest, self.opened.signature)

    def source(self, *, origin: str) -> PolicySource:
        """Read the inner file."""
        return source_of(self.opened, origin=origin)


@dataclass(frozen=True, slots=True)
class OpaBundle:
    """OPA's, with a signature. ``named`` is the policy, for bundles that do not name it themselves."""

    files: Mapping[str, bytes] = field(repr=False)
    signature: OpaSignature
    named: PolicyId | None = None
    locked: bool = False

    @property
    def key_url(self) -> str:
        """The issuer: an address or a DID; to OPA it is informational."""
        return self.signature.issuer

    @property
    def scope(self) -> str:
        """A word that its signer and whoever trusts him have agreed on."""
        return self.signature.scope

    @property
    def last_update(self) -> str:
        """When it was signed."""
        try:
            at = datetime.fromtimestamp(self.signature.issued_at or 0, UTC)
        except (ValueError, OverflowError, OSError):
            at = _NEVER
        return go_time(at if self.signature.issued_at is not None else _NEVER)

    def signed_by(self, jwk: Jwk, key: PublicKey) -> bool:
        """Verify the token: an algorithm that fits the key, and the scope that the key is trusted for.

        PERF: files are hashed only for somebody who is trusted; a stranger's bundle costs one signature.

        Raises:
            BundleUnverified: the key has signed it, but other files than these.
        """
        wanted, scope = jwk.get("alg", self.signature.token.algorithm), jwk.get("scope", "")
        fitting = wanted == self.signature.token.algorithm and scope == self.signature.scope
        if not fitting or not jws.verifies(key, self.signature.token):
            return False
        check_files(self.signature, self.files)
        return True

    def source(self, *, origin: str) -> PolicySource:
        """Read the files; InputError when nobody says which policy it is, or the bundle says another one."""
        try:
            plain = read_files(self.files)
        except InvalidBundle as error:
            raise BrokenBundle(f"No policy can be made of the bundle: {error.message}") from error
        policy = plain.id or self.named
        if policy is None:
            raise InputError("The bundle does not say which policy it is: name it (repository/group/name/version).")
        if self.named not in {None, policy}:
            raise InputError(f"The bundle was signed as {policy}, not as {self.named}.")
        check_parts(policy)
        return plain.source(policy, origin=origin)


def open_incoming(content: bytes, *, named: PolicyId | None = None) -> Incoming:
    """Take a bundle apart as far as checking its signature needs.

    ``named`` says which policy an OPA bundle is.

    Raises:
        NotABundle: neither a ZIP nor a gzip file.
        InvalidBundle: an archive that is not read.
        BundleUnverified: nothing inside that says who signed.
        InputError: a name for a bundle of the policy service, which has one.
    """
    if not is_gzip(content):
        if named is not None:
            raise InputError("A bundle of the policy service names its policy itself.")
        return ZipBundle(open_bundle(content))
    files = unpack(content)
    signature = find_signature(files)
    if signature is None:
        raise BundleUnverified("The bundle is OPA's and has no signature (.signatures.json): nobody vouches for it.")
    return OpaBundle(files, signature, named)
