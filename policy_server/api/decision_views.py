"""What a record of a decision looks like."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as it stands in the record."""


class DecidedBy(Struct, frozen=True):
    """The revision that decided: its number, its digest, and where it came from, such as a commit."""

    revision: str
    digest: str
    origin: str


class DecisionError(Struct, frozen=True):
    """Why there was no usable decision; ``message`` is missing where it could not be masked."""

    code: str
    message: str | UnsetType = UNSET


class DecisionView(Struct, frozen=True, kw_only=True):
    """One decision, with OPA's names where OPA has any.

    ``erased`` and ``masked`` are pointers to what was taken out and to what was replaced. Parts that are not known,
    or do not apply, are missing. ``kind``, ``alias`` and ``reason`` are there for Pexip's requests.
    """

    decision_id: str
    timestamp: Timestamp
    path: str
    endpoint: str
    outcome: str
    requested_by: str
    http_status: int
    request_id: str
    policy: str | UnsetType = UNSET
    bundles: dict[str, DecidedBy] | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    alias: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    input: msgspec.Raw | UnsetType = UNSET
    result: msgspec.Raw | UnsetType = UNSET
    erased: list[str] | UnsetType = UNSET
    masked: list[str] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    error: DecisionError | UnsetType = UNSET
    errors: list[str] | UnsetType = UNSET
    trace_id: str | UnsetType = UNSET
    span_id: str | UnsetType = UNSET
    metrics: dict[str, int] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class DecisionList(Struct, frozen=True):
    """A page of decisions, newest first."""

    decisions: list[DecisionView]
    next_cursor: str | None
