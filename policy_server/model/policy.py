"""Policies: identity, source, what the compiler makes of it, and revisions."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

_LONGEST_PART: Final = 200


@dataclass(frozen=True, slots=True, order=True)
class PolicyId:
    """Name one policy; four parts, as the policy service API has them."""

    repository: str
    group: str
    name: str
    version: str

    def __str__(self) -> str:
        """Join the parts with slashes, the way URLs and logs show them."""
        return f"{self.repository}/{self.group}/{self.name}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> "PolicyId":
        """Read ``repository/group/name/version``; ValueError when it is not that."""
        parts = text.strip("/").split("/")
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"{text!r} is not repository/group/name/version")
        return cls(*parts)

    @property
    def is_addressable(self) -> bool:
        """Whether each part can be one of an address: neither clients, proxies nor stores change or refuse it."""
        return all(map(_is_addressable, (self.repository, self.group, self.name, self.version)))

    @property
    def package(self) -> str:
        """The Rego package its source must have: ``group.name``."""
        return f"{self.group}.{self.name}"

    @property
    def entrypoint(self) -> str:
        """The path of the package document inside the compiled module: ``group/name``."""
        return f"{self.group}/{self.name}"


def _is_addressable(part: str) -> bool:
    usable = 0 < len(part) <= _LONGEST_PART and part.isprintable() and part.strip() == part
    return usable and part not in {".", ".."} and "/" not in part and "\\" not in part


class Dialect(StrEnum):
    """Which Rego a source is written in; AUTO tries v1, then v0."""

    AUTO = "auto"
    V1 = "v1"
    V0 = "v0"


@dataclass(frozen=True, slots=True)
class PolicySource:
    """What an author wrote; every part is file text, absent parts are None.

    ``data`` is the text of data.json (a JSON object), ``data_config`` of
    data-config.json, ``output_schema`` of output-schema.json and
    ``export_config`` of export-config.json. ``origin`` says where it came from
    (a path, "bundled", "api") for messages only.
    """

    id: PolicyId
    rego: str
    data: str | None = None
    data_config: str | None = None
    output_schema: str | None = None
    export_config: str | None = None
    dialect: Dialect = Dialect.AUTO
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is inside a compiled module; deterministic for the same source.

    ``digest`` is the SHA-256 of the wasm bytes in hex and its identity;
    ``source_digest`` of the Rego text. ``entrypoints`` are slash-separated
    paths, in id order; ``builtins`` the names the host must answer.
    """

    digest: str
    source_digest: str
    opa_version: str
    dialect: Dialect
    entrypoints: tuple[str, ...]
    builtins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """WebAssembly and what is known about it."""

    wasm: bytes = field(repr=False)
    manifest: Manifest


class PolicyState(StrEnum):
    """Whether the newest source of a policy is the one that answers.

    READY: it is. STALE: the newest source failed, the last good revision
    answers. FAILED: no revision was ever good.
    """

    READY = "ready"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source could not be published; ``code`` is the error's slug."""

    code: str
    message: str
    at: datetime
    source_digest: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One immutable version of source, data and compiled module.

    ``number`` counts up per policy from 1. ``digest`` covers all source parts
    and the data, so that equal content has an equal digest. ``data`` is the
    effective document text (data.json, or what a refresh fetched last).
    """

    id: PolicyId
    number: int
    source: PolicySource
    manifest: Manifest
    data: str | None
    digest: str
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RevisionSummary:
    """A revision as history lists it: without its texts. ``module`` and ``source_digest`` are those of its manifest."""

    id: PolicyId
    number: int
    digest: str
    module: str
    source_digest: str
    author: str
    created_at: datetime
    origin: str


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy as it is listed: active revision, lock, state.

    ``revision`` is None only in state FAILED. ``stamp`` is that of its newest change.
    """

    id: PolicyId
    revision: Revision | None
    locked: bool
    state: PolicyState
    failure: Failure | None
    updated_at: datetime
    stamp: int


@dataclass(frozen=True, slots=True)
class PolicyFilter:
    """Which policies to list; None means any.

    ``name_contains`` is a case-insensitive substring of the policy name, never a pattern.
    """

    repository: str | None = None
    group: str | None = None
    version: str | None = None
    name_contains: str | None = None
    locked: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, ordered by id; ``next_cursor`` is None on the last."""

    records: tuple[PolicyRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Something about a policy changed: what (``published``, ``failed``, ``locked``, ``unlocked``, ``deleted``)."""

    id: PolicyId
    what: str
    stamp: int
