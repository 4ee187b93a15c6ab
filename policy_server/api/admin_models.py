"""What the administration of policies reads and answers."""

from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType

from policy_server.api.models import Detail, Digest


class PolicyDraft(Struct, frozen=True):
    """A policy to be published; documents are JSON values, or strings that hold their text.

    ``tests`` are used by checks only: Rego text, or an object of file names and Rego texts.
    """

    rego: str
    data: msgspec.Raw | UnsetType = UNSET
    dataConfig: msgspec.Raw | UnsetType = UNSET  # noqa: N815 - the policy service's own names
    outputSchema: msgspec.Raw | UnsetType = UNSET  # noqa: N815
    exportConfig: msgspec.Raw | UnsetType = UNSET  # noqa: N815
    dialect: str = "auto"
    tests: str | dict[str, str] | None = None


class RollBack(Struct, frozen=True):
    """Which revision to go back to."""

    revision: int


class Published(Struct, frozen=True):
    """The revision that answers now; ``changed`` is false when it already did."""

    repository: str
    policyName: str  # noqa: N815
    group: str
    version: str
    revision: int
    digest: Digest
    dialect: str
    author: str
    created_at: datetime
    changed: bool


class TestRun(Struct, frozen=True):
    """How Rego tests went; ``results`` is what OPA's runner says about each."""

    passed: int
    failed: int
    errored: int
    skipped: int
    results: list[msgspec.Raw]


class Checked(Struct, frozen=True):
    """What publishing would say; ``ok`` is false when it would fail, or tests do."""

    ok: bool
    problems: list[Detail]
    warnings: list[Detail]
    digest: Digest
    dialect: str | None
    entrypoints: list[str]
    builtins: list[str]
    tests: TestRun | None


class RevisionView(Struct, frozen=True):
    """One revision in the history of a policy."""

    revision: int
    digest: Digest
    source_digest: Digest
    module_digest: Digest
    author: str
    created_at: datetime
    origin: str
    active: bool


class RevisionList(Struct, frozen=True):
    """A page of revisions, newest first."""

    revisions: list[RevisionView]
    next_cursor: str | None


class RevisionDetail(RevisionView, frozen=True, kw_only=True):
    """One revision with all its texts."""

    rego: str
    data: str | None
    dataConfig: str | None  # noqa: N815
    outputSchema: str | None  # noqa: N815
    exportConfig: str | None  # noqa: N815
    dialect: str
    opa_version: str
    entrypoints: list[str]
    builtins: list[str]


class PartDiff(Struct, frozen=True):
    """One part that differs; ``diff`` is a unified diff, null when the part is too large to compare."""

    part: str
    diff: str | None


class RevisionDiff(Struct, frozen=True, rename={"older": "from", "newer": "to"}):
    """What is different in one revision, seen from another."""

    older: int
    newer: int
    parts: list[PartDiff]


class AuditView(Struct, frozen=True):
    """One change, or an attempt at one; ``before`` and ``after`` are digests of revisions."""

    id: str
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str
    origin: str
    request_id: str
    before: str | None
    after: str | None


class AuditList(Struct, frozen=True):
    """A page of audit records, newest first."""

    records: list[AuditView]
    next_cursor: str | None
