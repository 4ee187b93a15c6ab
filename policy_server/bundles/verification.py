"""Checks an OPA bundle against one key in a file, as OPA's own commands do (``--verification-key`` and its kin)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policy_server.bundles.opa_signatures import OpaSignature, check_files, find_signature
from policy_server.jose import jws
from policy_server.jose.keys import PublicKey, read_keys
from policy_server.model.errors import BundleUnverified, InputError, UnusableKey


@dataclass(frozen=True, slots=True)
class Verification:
    """What must have signed a bundle.

    ``key`` is what is in the file: public keys (PEM, JWK, JWK Set), or with one of the ``HS``
    algorithms a shared secret. ``key_id`` chooses among the keys of a set. ``algorithm`` is the only one allowed;
    "": whichever fits the key. ``exclude`` are patterns of files that need not be signed.
    """

    key: bytes = field(repr=False)
    key_id: str = ""
    algorithm: str = ""
    scope: str = ""
    exclude: tuple[str, ...] = ()

    def check(self, files: Mapping[str, bytes]) -> None:
        """Verify the files of a bundle.

        Raises:
            BundleUnverified: no signature, one by another key, algorithm or scope, or other files than were signed.
            UnusableKey: the file holds no key that can be used so.
            InputError: there is no such algorithm, or no such pattern.
        """
        signature = find_signature(files)
        if signature is None:
            raise BundleUnverified("The bundle has no signature (.signatures.json).")
        if self.algorithm not in {"", signature.token.algorithm, *jws.ASYMMETRIC, *jws.SHARED}:
            raise InputError(f"There is no signing algorithm {self.algorithm}.")
        if self.algorithm not in {"", signature.token.algorithm}:
            raise BundleUnverified(f"The bundle was signed with {signature.token.algorithm[:20]}.")
        if not self._verifies(signature):
            raise BundleUnverified("The bundle was not signed with this key.")
        if signature.scope != self.scope:
            raise BundleUnverified("The bundle was signed for another scope.")
        check_files(signature, files, exclude=self.exclude)

    def _verifies(self, signature: OpaSignature) -> bool:
        # SECURITY: a shared secret counts only where the operator asked for one; with the header's word for it,
        # everybody who has the public key could sign.
        if self.algorithm in jws.SHARED:
            return jws.verifies_shared(self._secret(), signature.token)
        return any(jws.verifies(key, signature.token) for key in self._keys())

    def _secret(self) -> bytes:
        try:
            read_keys(self.key.decode())
        except (UnusableKey, UnicodeDecodeError):
            return self.key
        raise UnusableKey("A public key is no secret: sign with an algorithm that has a key pair.")

    def _keys(self) -> Iterator[PublicKey]:
        try:
            text = self.key.decode()
        except UnicodeDecodeError as error:
            raise UnusableKey("The key is neither PEM nor JSON.") from error
        found = read_keys(text)
        for jwk, key in found:
            if len(found) == 1 or self.key_id in {"", jwk.get("kid")}:
                yield key
