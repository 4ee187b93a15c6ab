"""The JSON shapes this API answers with; the OpenAPI document is made from them."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

Seconds = Annotated[int, Meta(description="Unix time in whole seconds.")]
Digest = Annotated[str, Meta(description="SHA-256 in hex.", examples=["9f86d081884c7d65"])]


class Detail(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong, and where: a parameter, a place in the body, or a line of a file."""

    detail: str
    code: str = ""
    parameter: str = ""
    pointer: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class ServiceError(Struct, frozen=True, omit_defaults=True):
    """What the policy service's routes answer when something is wrong.

    ``kind``: 0 unknown, 1 bad request, 2 not authenticated, 3 forbidden, 4 already exists,
    5 not found, 6 time-out, 7 internal, 8 unavailable. ``errors``, which the policy service does not
    have, is there when a result does not fit its schema: what does not, and where.
    """

    id: str
    kind: int
    message: str = ""
    errors: list[Detail] = []


class Fault(Struct, frozen=True):
    """What an unknown address under /policy or /v1 answers."""

    name: str
    id: str
    message: str
    temporary: bool = False
    timeout: bool = False
    fault: bool = True


class ProblemDocument(Struct, frozen=True):
    """A problem as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[Detail]


class ProblemPage(Struct, frozen=True):
    """What one type of problem means."""

    type: str
    title: str
    status: int


class Explanation(Struct, frozen=True):
    """What an evaluation answers when its explanation was asked for.

    ``result`` is what it answers else, ``explanation`` the lines of OPA's own trace, ``printed`` those of ``print``.
    """

    result: msgspec.Raw
    explanation: list[str]
    printed: list[str]


class FailureView(Struct, frozen=True):
    """Why the newest source of a policy does not answer."""

    code: str
    message: str
    at: datetime


class RefreshView(Struct, frozen=True):
    """How the scheduled data of a policy is doing."""

    next_run: datetime | None
    last_attempt: datetime | None
    last_success: datetime | None
    error: str | None
    size: int | None
    digest: str | None
    failures: int


class PolicyView(Struct, frozen=True):
    """One policy in a list; ``rego``, ``data`` and ``dataConfig`` are there when asked for.

    ``origin`` says where its source came from, with the commit when that is Git.
    """

    repository: str
    policyName: str  # noqa: N815 - the policy service's own names
    group: str
    version: str
    locked: bool
    lastUpdate: Seconds  # noqa: N815
    state: str
    revision: int | None
    dialect: str | None
    digest: Digest | None
    origin: str | None
    error: FailureView | None
    refresh: RefreshView | None
    rego: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    dataConfig: str | UnsetType = UNSET  # noqa: N815


class PolicyList(Struct, frozen=True):
    """A page of policies, ordered by repository, group, name and version."""

    policies: list[PolicyView]
    next_cursor: str | None


class PolicyDetail(PolicyView, frozen=True, kw_only=True):
    """Everything about one policy."""

    package: str
    entrypoints: list[str]
    builtins: list[str]
    opa_version: str | None
    module_digest: Digest | None
    source_digest: Digest | None
    author: str | None
    created_at: datetime | None
    output_schema: str | None
    export_config: str | None


class ImportedPolicy(Struct, frozen=True):
    """A policy that was imported; ``lastUpdate`` is what its bundle says, ``locked`` how it is here."""

    repository: str
    group: str
    name: str
    version: str
    locked: bool
    lastUpdate: str  # noqa: N815


class AutoImportConfig(Struct, frozen=True):
    """What is imported on a schedule; ``interval`` is a Go duration."""

    policyURL: str  # noqa: N815
    interval: str


class AutoImportView(Struct, frozen=True):
    """A scheduled import and how it is doing; ``Interval`` is in nanoseconds."""

    MongoID: str
    PolicyURL: str
    Interval: int
    NextImport: datetime
    LastAttempt: datetime | None
    LastSuccess: datetime | None
    Error: str | None


class AutoImportList(Struct, frozen=True):
    """All scheduled imports, ordered by URL."""

    autoimport: list[AutoImportView]


class ServiceHealth(Struct, frozen=True):
    """Health in the policy service's shape."""

    service: str
    status: str
    version: str


class CheckView(Struct, frozen=True):
    """One thing readiness looks at; only a required one makes the server unready."""

    name: str
    state: str
    required: bool
    message: str
    since: datetime | None


class Health(Struct, frozen=True):
    """Whether the server is alive or ready; ``checks`` when asked for with ``verbose``."""

    status: str
    checks: list[CheckView] | UnsetType = UNSET


class PexipAnswer(Struct, frozen=True, omit_defaults=True):
    """An answer for Pexip Infinity; ``result`` depends on the request type."""

    status: str
    action: str = field(default="")
    result: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"{}"))
    decision_id: str = ""


# Git.


class GitFailure(Struct, frozen=True):
    """A policy of a Git repository that could not be published; its last good revision answers."""

    policy: str
    message: str


class GitView(Struct, frozen=True):
    """How a Git repository is doing: waiting, syncing, ready or failing.

    ``commit`` is the one whose policies are published. ``published`` and the other counts are of the last look that
    found something new.
    """

    repository: str
    url: str
    branch: str
    folder: str
    deleted_policies: str
    interval: float
    state: str
    commit: str | None
    last_attempt: datetime | None
    last_success: datetime | None
    next_attempt: datetime | None
    error: str | None
    failures: int
    seconds: float | None
    published: int
    unchanged: int
    failed: int
    deleted: int
    kept: int
    marked: int
    skipped: int
    broken: list[GitFailure]
    warnings: list[str]


class GitList(Struct, frozen=True):
    """All Git repositories that are followed."""

    repositories: list[GitView]
