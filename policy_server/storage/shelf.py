"""A shelf keeps flat records of one kind; what the smaller ports need of any backend."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from policy_server.model.errors import InvalidParameter
from policy_server.model.policy import PolicyId

Cell = None | bool | int | str | datetime | Sequence[str]
Row = dict[str, Cell]
"""A record; its ``id`` is a text. Moments are in UTC and exact to the microsecond."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a shelf is for: its name, its columns, and which combinations of them only one record may have."""

    name: str
    columns: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: all conditions hold. ``since`` is included, ``until`` and ``before`` are not, ``due`` is.

    ``among`` are columns and the texts they may have, ``contains`` columns and texts that are in theirs.
    """

    equals: Mapping[str, Cell] = field(default_factory=dict)
    among: Mapping[str, Collection[str]] = field(default_factory=dict)
    contains: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    before: str | None = None
    due: tuple[str, datetime] | None = None
    until: tuple[str, datetime] | None = None


EVERYTHING: Final = Wanted()


class Shelf(Protocol):
    """Records of one kind; each call is one transaction."""

    def insert(self, row: Row) -> bool:
        """Keep a new record; False when there is one with its id or a unique combination."""

    def extend(self, rows: Sequence[Row]) -> None:
        """Keep new records, all or none; one whose id is there already is left out."""

    def put(self, row: Row) -> bool:
        """Insert or replace by id; False when another record has a unique combination of it."""

    def fetch(self, name: str) -> Row | None:
        """Return one record by its id."""

    def select(
        self,
        wanted: Wanted = EVERYTHING,
        *,
        limit: int | None = None,
        newest: bool = False,
        by: str = "id",
        skip: int = 0,
    ) -> list[Row]:
        """Return records, ordered by ``by``, without the first ``skip``."""

    def change(self, name: str, values: Row, *, when: Mapping[str, Cell] | None = None) -> bool:
        """Set values of one record if it (still) has those of ``when``; False when not."""

    def remove(self, wanted: Wanted, *, limit: int | None = None) -> int:
        """Drop records, with a ``limit`` only so many, the first by id; return how many."""

    def count(self, wanted: Wanted) -> int:
        """Return how many records there are."""


POLICY: Final = ("policy_repository", "policy_group", "policy_name", "policy_version")
SUBSCRIBERS: Final = Kind(
    "subscribers",
    ("id", *POLICY, "name", "url", "created_at", "updated_at", "secret", "state"),
    unique=((*POLICY, "name", "url"),),
)
AUTO_IMPORTS: Final = Kind(
    "auto_imports",
    ("id", "url", "interval", "next_import", "last_attempt", "last_success", "error"),
    unique=(("url",),),
)
VALUES: Final = Kind("stored_values", ("id", "body"))
CACHE: Final = Kind("cached_values", ("id", "body", "until"))
EVENTS: Final = Kind("events", ("id", "event", "type", *POLICY, "revision", "changed", "actor", "at", "dispatched"))
DELIVERIES: Final = Kind(
    "deliveries",
    ("id", "stamp", "target", "state", "attempts", "next_attempt", "created_at", "settled_at", "error"),
)
AUDIT: Final = Kind(
    "audit_records",
    ("id", "at", "actor", "action", "subject", "outcome", "origin", "request_id", "before", "after"),
)
TOKENS: Final = Kind(
    "api_tokens",
    ("id", "name", "digest", "scopes", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at"),
    unique=(("digest",),),
)
DECISIONS: Final = Kind(
    "decisions",
    ("id", "decision_id", "at", *POLICY, "path", "endpoint", "kind", "alias", "folded_alias", "outcome",
     "requested_by", "failed", "body"),
)  # fmt: skip
KEYS: Final = Kind("trusted_keys", ("id", "name", "jwk", "repositories", "created_at", "created_by", "expires_at"))
KINDS: Final = (SUBSCRIBERS, AUTO_IMPORTS, VALUES, CACHE, EVENTS, DELIVERIES, AUDIT, DECISIONS, TOKENS, KEYS)


def encode_name(name: str) -> str:
    """Write down after which record the next page begins."""
    return base64.urlsafe_b64encode(b"\0" + name.encode()).rstrip(b"=").decode()


def decode_name(cursor: str) -> str:
    """Read a cursor of ``encode_name``; anything else: InvalidParameter."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name = packed.decode()
        if name[:1] == "\0" and encode_name(name[1:]) == cursor:
            return name[1:]
    except ValueError:
        pass
    raise InvalidParameter("The cursor does not come from this server; list again without one.")


def policy_row(policy: PolicyId) -> Row:
    """Write a policy into the columns that name one."""
    return dict(zip(POLICY, (policy.repository, policy.group, policy.name, policy.version), strict=True))


def row_policy(row: Row) -> PolicyId:
    """Read the policy that a row names."""
    return PolicyId(*(str(row[part]) for part in POLICY))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_id(at: datetime) -> str:
    """Begin an id that sorts by time: 16 hexadecimal digits."""
    return f"{max(0, (at - _EPOCH) // timedelta(microseconds=1)):016x}"
