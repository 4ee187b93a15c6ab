"""What every backend must agree on: states, cursors, case folding, times, page sizes."""

import base64
import binascii
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from policy_server.model.change import Change, Refusal, Removal
from policy_server.model.errors import ChangedMeanwhile, InvalidParameter, PolicyNotFound, RevisionNotFound
from policy_server.model.policy import (
    Failure,
    PolicyFilter,
    PolicyId,
    PolicyRecord,
    PolicyState,
    Revision,
    RevisionSummary,
)

PAGE_SIZE: Final = 64 << 20
"""A page ends early when its data documents have more characters than this."""

KEEP: Final = 20
"""How many revisions of a policy stay unless told otherwise."""


def utc(at: datetime) -> datetime:
    """Return the same moment in UTC; ValueError without a zone."""
    if at.tzinfo is None:
        raise ValueError("a datetime without a zone was given to the store")
    return at.astimezone(UTC)


def utc_or_none(at: datetime | None) -> datetime | None:
    """Return the same moment in UTC, None for none."""
    return None if at is None else utc(at)


def in_utc(change: Change) -> Change:
    """Return a change with its times in UTC."""
    if isinstance(change, Removal):
        return replace(change, at=utc_or_none(change.at))
    if isinstance(change, Refusal):
        return replace(change, failure=_failed_in_utc(change.failure))
    failure = None if change.failure is None else _failed_in_utc(change.failure)
    return replace(change, at=utc(change.at), failure=failure)


def fold(text: str) -> str:
    """Return the text as it is compared when case does not matter."""
    return text.casefold()


def standing(active: Revision | None, failure: Failure | None) -> PolicyState:
    """Tell whether the newest source is the one that answers."""
    if failure is None:
        return PolicyState.READY
    return PolicyState.FAILED if active is None else PolicyState.STALE


def summary(revision: Revision) -> RevisionSummary:
    """Return a revision without its texts."""
    manifest = revision.manifest
    return RevisionSummary(
        id=revision.id,
        number=revision.number,
        digest=revision.digest,
        module=manifest.digest,
        source_digest=manifest.source_digest,
        author=revision.author,
        created_at=revision.created_at,
        origin=revision.source.origin,
    )


def missing(policy: PolicyId) -> PolicyNotFound:
    """Say that there is no such policy."""
    return PolicyNotFound(f"There is no policy {policy}.")


def check_seen(policy: PolicyId, seen: int | None, stamp: int) -> None:
    """Refuse a change that was decided by another stamp of the policy; 0 is that of one that is not there."""
    if seen is not None and seen != stamp:
        raise ChangedMeanwhile(f"{policy} was changed by another writer at the same moment; try again.")


def no_revision(policy: PolicyId, number: int) -> RevisionNotFound:
    """Say that there is no such revision, or no longer."""
    return RevisionNotFound(f"{policy} has no revision {number}, or no longer.")


def bulk(record: PolicyRecord) -> int:
    """Return how many characters of data documents a record holds."""
    if record.revision is None:
        return 0
    data, own = record.revision.data or "", record.revision.source.data or ""
    return len(data) if own == data else len(data) + len(own)


def encode_cursor(last: PolicyId) -> str:
    """Write down after which policy the next page begins."""
    parts = [last.repository, last.group, last.name, last.version]
    packed = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> PolicyId:
    """Read a cursor of ``encode_cursor``; anything else: InvalidParameter."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(packed)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _not_ours() from error
    if not isinstance(parts, list) or len(parts) != 4 or not all(isinstance(part, str) for part in parts):
        raise _not_ours()
    last = PolicyId(*parts)
    # Only what this server wrote comes back the same, so nothing else can ever mean something one day.
    try:
        ours = encode_cursor(last) == cursor
    except UnicodeEncodeError as error:
        raise _not_ours() from error
    if not ours:
        raise _not_ours()
    return last


def check_limit(limit: int) -> None:
    """Refuse a page that could never hold anything: InvalidParameter."""
    if limit < 1:
        raise InvalidParameter("The limit of a page is at least 1.")


def fits(record: PolicyRecord, wanted: PolicyFilter) -> bool:
    """Tell whether a record is one of those wanted."""
    policy = record.id
    return (
        wanted.repository in (None, policy.repository)
        and wanted.group in (None, policy.group)
        and wanted.version in (None, policy.version)
        and wanted.locked in (None, record.locked)
        and (wanted.name_contains is None or fold(wanted.name_contains) in fold(policy.name))
    )


def _failed_in_utc(failure: Failure) -> Failure:
    return replace(failure, at=utc(failure.at))


def _not_ours() -> InvalidParameter:
    return InvalidParameter("The cursor does not come from this server; list again without one.")
