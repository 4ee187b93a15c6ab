"""Hands out policies: signed for this product and the original, or as OPA's bundle."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote

from policy_server.bundles.contents import digest_of, write_inner, write_outer
from policy_server.bundles.opa import write_opa
from policy_server.bundles.opa_archive import pack
from policy_server.bundles.opa_signatures import add_signature
from policy_server.bundles.signers import Signer
from policy_server.jose.keys import Jwk
from policy_server.model.bundle import Exported, SigningKey
from policy_server.model.errors import BrokenBundle, ExportConfigInvalid, InvalidSource, NotExportable
from policy_server.model.policy import PolicyId, PolicyRecord
from policy_server.model.values import Json, JsonObject
from policy_server.ports import PolicyStore
from policy_server.publishing.digest import EXPORT_CONFIG
from policy_server.publishing.document import read_object

ZIP: Final = "application/zip"
GZIP: Final = "application/gzip"
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")


class Exporter:
    """Makes bundles of active revisions; changes nothing."""

    def __init__(self, store: PolicyStore, signer: Signer, url: Callable[[], str]) -> None:
        """Take the store, who signs, and the address under which others see this server."""
        self._store = store
        self._signer = signer
        self._url = url

    def key(self, policy: PolicyId) -> Jwk:
        """Return the public key that verifies the policy's bundles, as the signer tells it.

        Raises:
            PolicyNotFound: there is no such policy.
            NotExportable, ExportConfigInvalid: its export-config.json is missing or wrong.
            SigningFailed: the signer is not there or refused.
        """
        return self._signer.public_key(signing_key(self._store.get(policy)))

    def export(self, policy: PolicyId) -> Exported:
        """Return the signed bundle of a policy; raises as ``key``, and BrokenBundle when no revision was ever good."""
        record = self._store.get(policy)
        key = signing_key(record)
        inner = write_inner(record, self._key_url(policy))
        signature = self._signer.sign(key, digest_of(inner))
        return Exported(_file_name(policy, "zip"), ZIP, write_outer(inner, signature))

    def export_opa(self, policy: PolicyId, *, wasm: bool, signed: bool = False, scope: str = "") -> Exported:
        """Return a policy as an OPA bundle, with the compiled module, and signed for a scope, if wanted.

        Raises:
            PolicyNotFound: there is no such policy.
            BrokenBundle: no revision was ever good.
            NotExportable, ExportConfigInvalid, SigningFailed: as ``key``, where it is to be signed.
        """
        record = self._store.get(policy)
        if record.revision is None:
            raise BrokenBundle(f"{policy} has no revision that could be exported: its source was never good.")
        try:
            module = self._store.module(record.revision.manifest.digest) if wasm else None
        except KeyError:  # somebody published in between, and the module went with its revision
            return self.export_opa(policy, wasm=wasm, signed=signed, scope=scope)
        files = write_opa(record.revision, module)
        if signed:
            files = add_signature(
                files, partial(self._signer.token, signing_key(record)), claims=self._claims(record, scope)
            )
        return Exported(_file_name(policy, "tar.gz"), GZIP, pack(files))

    def _claims(self, record: PolicyRecord, scope: str) -> JsonObject:
        claims: dict[str, Json] = {"iss": self._key_url(record.id), "iat": int(record.updated_at.timestamp())}
        return {**claims, "scope": scope} if scope else claims

    def _key_url(self, policy: PolicyId) -> str:
        parts = (policy.repository, policy.group, policy.name, policy.version)
        path = "/".join(quote(part, safe="") for part in parts)
        return f"{self._url().rstrip('/')}/policy/{path}/key"


def signing_key(record: PolicyRecord) -> SigningKey:
    """Read which key signs a policy's bundles; NotExportable, ExportConfigInvalid."""
    text = None if record.revision is None else record.revision.source.export_config
    if text is None or not text.strip():
        raise NotExportable
    try:
        document, _ = read_object(text, file=EXPORT_CONFIG)
    except InvalidSource as error:
        raise ExportConfigInvalid(f"cannot unmarshal policy export configuration: {error.message}") from error
    namespace, key, group = document.get("namespace", ""), document.get("key", ""), document.get("group")
    if not isinstance(namespace, str) or not isinstance(key, str) or not isinstance(group, str | None):
        raise ExportConfigInvalid(
            "cannot unmarshal policy export configuration: namespace, key and group must be texts"
        )
    return SigningKey(namespace, key, group)


def _file_name(policy: PolicyId, ending: str) -> str:
    parts = (policy.repository, policy.group, policy.name, policy.version)
    return f"{'_'.join(_ODD.sub('_', part) for part in parts)}.{ending}"
