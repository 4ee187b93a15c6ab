"""What is in a bundle: a ZIP file in a ZIP file, and how a policy becomes one and back.

The outer file has the inner one and its signature; the inner one begins with
metadata.json, so that whoever verifies it need not read on.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

from policy_server.bundles.archive import Entry, ZipArchive, ZipLimits, write_zip
from policy_server.model.bundle import Metadata, SignedBundle
from policy_server.model.errors import BrokenBundle, BundleUnverified, InvalidBundle, InvalidSource, NotABundle
from policy_server.model.policy import PolicyId, PolicyRecord, PolicySource
from policy_server.publishing.checks import LIMITS
from policy_server.publishing.digest import DATA, DATA_CONFIG, EXPORT_CONFIG, OUTPUT_SCHEMA, REGO
from policy_server.publishing.document import read_object

INNER: Final = "policy_bundle.zip"
SIGNATURE: Final = "signature.raw"
METADATA: Final = "metadata.json"
OPTIONAL: Final = (DATA, DATA_CONFIG, OUTPUT_SCHEMA, EXPORT_CONFIG)
LARGEST: Final = sum(LIMITS.values())
"""The largest inner file that is read, in bytes."""

_LARGEST_METADATA: Final = 64 << 10
_LARGEST_SIGNATURE: Final = 4096
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)


def write_inner(record: PolicyRecord, key_url: str) -> bytes:
    """Pack the active revision of a policy with the data it answers with; equal content gives equal bytes.

    Raises:
        BrokenBundle: the policy has no revision that could be packed.
    """
    revision = record.revision
    if revision is None:
        raise BrokenBundle(f"{record.id} has no revision that could be exported: its source was never good.")
    source = revision.source
    texts = {
        DATA: revision.data,
        DATA_CONFIG: source.data_config,
        OUTPUT_SCHEMA: source.output_schema,
        EXPORT_CONFIG: source.export_config,
    }
    files = [(METADATA, _metadata(record, key_url)), (REGO, source.rego.encode())]
    files += [(name, text.encode()) for name, text in texts.items() if text is not None and text.strip()]
    return write_zip(files)


def write_outer(inner: bytes, signature: bytes) -> bytes:
    """Join what was signed and the signature."""
    return write_zip([(INNER, inner), (SIGNATURE, signature)])


def digest_of(inner: bytes) -> bytes:
    """Return what is signed: the SHA-256 of the inner file."""
    return hashlib.sha256(inner).digest()


def open_bundle(content: bytes) -> SignedBundle:
    """Take a bundle apart as far as checking its signature needs.

    Raises:
        NotABundle: no ZIP file at all.
        InvalidBundle: not two entries, or an archive that is not read.
        BundleUnverified: other entries, or nothing inside that says who signed.
    """
    outer = ZipArchive(content, ZipLimits(entry_bytes=LARGEST))
    if len(outer.entries) != 2:
        raise InvalidBundle("invalid bundle")
    if outer.names != [INNER, SIGNATURE]:
        raise BundleUnverified(f"The bundle must hold {INNER}, then {SIGNATURE}.")
    first, second = outer.entries
    inner = outer.read(first)
    signature = outer.read(second, most=_LARGEST_SIGNATURE)
    try:
        archive = _inside(inner)
        if not archive.entries or archive.names[0] != METADATA:
            raise BundleUnverified(f"The first entry of {INNER} must be {METADATA}.")
        metadata = _read_metadata(archive.read(archive.entries[0], most=_LARGEST_METADATA))
    except (NotABundle, InvalidBundle, InvalidSource) as error:
        raise BundleUnverified(f"{INNER} cannot be read: {error.message}") from error
    return SignedBundle(metadata, inner, digest_of(inner), signature)


def source_of(bundle: SignedBundle, *, origin: str) -> PolicySource:
    """Read the policy out of a bundle whose signature is good; BrokenBundle when there is none in it."""
    try:
        archive = _inside(bundle.inner)
        entries = {entry.name: entry for entry in archive.entries}
        _check_order(archive.names)
        check_parts(bundle.metadata.id)
        texts = {name: _text(archive, entries.get(name)) for name in (REGO, *OPTIONAL)}
    except (NotABundle, InvalidBundle) as error:
        raise BrokenBundle(f"No policy can be made of {INNER}: {error.message}") from error
    rego = texts[REGO]
    if rego is None:
        raise BrokenBundle(f"No policy can be made of {INNER}: {REGO} is blank.")
    return PolicySource(
        bundle.metadata.id,
        rego,
        data=texts[DATA],
        data_config=texts[DATA_CONFIG],
        output_schema=texts[OUTPUT_SCHEMA],
        export_config=texts[EXPORT_CONFIG],
        origin=origin,
    )


def check_parts(policy: PolicyId) -> None:
    """Refuse names that no address could have; BrokenBundle."""
    if not policy.is_addressable:
        raise BrokenBundle("The repository, group, name or version is missing, or cannot be part of an address.")


def go_time(at: datetime) -> str:
    """Write a time as Go does: UTC, no zeros at the end of the fraction."""
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f"{at.microsecond:06}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def _inside(inner: bytes) -> ZipArchive:
    return ZipArchive(inner, ZipLimits())


def _metadata(record: PolicyRecord, key_url: str) -> bytes:
    document = {
        "policy": {
            "name": record.id.name,
            "group": record.id.group,
            "version": record.id.version,
            "repository": record.id.repository,
            "locked": record.locked,
            "lastUpdate": go_time(record.updated_at),
        },
        "publicKeyURL": key_url,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _read_metadata(content: bytes) -> Metadata:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidBundle(f"{METADATA} is not UTF-8.") from error
    document, _ = read_object(text, file=METADATA)
    policy, key_url = document.get("policy"), document.get("publicKeyURL", "")
    if not isinstance(policy, dict) or not isinstance(key_url, str):
        raise InvalidBundle(f"{METADATA} does not describe a policy.")
    parts = [policy.get(name) for name in ("repository", "group", "name", "version")]
    locked, last_update = policy.get("locked", False), policy.get("lastUpdate", "")
    texts = [part for part in (*parts, last_update) if isinstance(part, str)]
    if len(texts) != 5 or not isinstance(locked, bool):
        raise InvalidBundle(f"{METADATA} does not describe a policy.")
    return Metadata(PolicyId(*texts[:4]), locked, _time(texts[4]), key_url)


def _time(text: str) -> str:
    """Return a time that can be repeated in an answer; Go's zero time when it is none."""
    try:
        at = datetime.fromisoformat(text)
        return go_time(at) if at.tzinfo is not None else go_time(_ZERO)
    except (ValueError, OverflowError):
        return go_time(_ZERO)


def _check_order(names: list[str]) -> None:
    wanted = [METADATA, REGO, *OPTIONAL]
    if unknown := [name for name in names if name not in wanted]:
        raise InvalidBundle(f"the entry {unknown[0]} is none that a policy has.")
    if REGO not in names or names != sorted(names, key=wanted.index):
        raise InvalidBundle(f"its entries must be {', '.join(wanted)}, in this order; only the first two are a must.")


def _text(archive: ZipArchive, entry: Entry | None) -> str | None:
    """Return the text of an entry; None when it is absent or blank."""
    if entry is None:
        return None
    try:
        text = archive.read(entry, most=LIMITS[entry.name]).decode()
    except UnicodeDecodeError as error:
        raise InvalidBundle(f"{entry.name} is not UTF-8.") from error
    return text if text.strip() else None
