"""Read policies on an open connection; the caller owns the transaction."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, bindparam, func, select, tuple_

from policy_server.model.policy import (
    Failure,
    Page,
    PolicyChanged,
    PolicyFilter,
    PolicyId,
    PolicyRecord,
    Revision,
    RevisionSummary,
)
from policy_server.storage.listing import PAGE_SIZE, encode_cursor, fold, missing, no_revision, standing
from policy_server.storage.reading import FIELDS, revision_of
from policy_server.storage.tables import changes, documents, modules, policies, revisions

Item = TypeVar("Item")

CHUNK: Final = 500
"""How many values one IN list holds; databases limit the parameters of a statement."""

ID_COLUMNS: Final = (policies.c.repository, policies.c.policy_group, policies.c.name, policies.c.version)

BY_ID: Final = and_(*(column == bindparam(column.name) for column in ID_COLUMNS))
"""Chooses one policy; takes the parameters that ``key`` makes."""

STAMP: Final = (
    select(func.max(changes.c.stamp))
    .where(*(changes.c[column.name] == column for column in ID_COLUMNS))
    .scalar_subquery()
    .label("stamp")
)
"""That of the newest change of the policy that a row is about."""

_own = documents.alias("own")
_effective = documents.alias("effective")
_RECORDS: Final = select(
    policies,
    *(column.label(f"revision_{column.name}") for column in revisions.c),
    _own.c.size.label("own_size"),
    _effective.c.size.label("effective_size"),
    STAMP,
).select_from(
    policies.outerjoin(revisions, (revisions.c.policy_id == policies.c.id) & (revisions.c.number == policies.c.active))
    .outerjoin(_own, _own.c.digest == revisions.c.source_data)
    .outerjoin(_effective, _effective.c.digest == revisions.c.data)
)
_ONE: Final = _RECORDS.where(BY_ID)
_REVISION: Final = select(
    *ID_COLUMNS, *(column.label(f"revision_{column.name}") for column in revisions.c)
).select_from(policies.join(revisions, revisions.c.policy_id == policies.c.id))
_MODULE: Final = select(modules.c.wasm).where(modules.c.digest == bindparam("digest"))
_LOCKS: Final = select(*ID_COLUMNS).where(policies.c.locked_at.is_not(None))
_CHANGES: Final = select(changes).where(changes.c.stamp > bindparam("since")).order_by(changes.c.stamp)


def key(policy: PolicyId) -> dict[str, str]:
    """Return the columns that name a policy in every table that does."""
    return {
        "repository": policy.repository,
        "policy_group": policy.group,
        "name": policy.name,
        "version": policy.version,
    }


def policy_of(row: RowMapping) -> PolicyId:
    """Read the policy that a row names."""
    return PolicyId(row["repository"], row["policy_group"], row["name"], row["version"])


def read_record(connection: Connection, policy: PolicyId) -> PolicyRecord:
    """Return one policy; unknown: PolicyNotFound."""
    row = connection.execute(_ONE, key(policy)).mappings().first()
    if row is None:
        raise missing(policy)
    return _records(connection, [row])[0]


def read_page(connection: Connection, wanted: PolicyFilter, limit: int, after: PolicyId | None) -> Page:
    """Return the policies that follow ``after``, ordered by id."""
    query = _filtered(wanted, connection.dialect.name)
    if after is not None:
        query = query.where(tuple_(*ID_COLUMNS) > tuple_(after.repository, after.group, after.name, after.version))
    rows = connection.execute(query.order_by(*ID_COLUMNS).limit(limit + 1)).mappings().all()
    taken = rows[: _room(rows[:limit])]
    records = _records(connection, taken)
    return Page(tuple(records), encode_cursor(records[-1].id) if len(taken) < len(rows) else None)


def read_summaries(connection: Connection, policy: PolicyId, limit: int, before: int | None) -> list[RevisionSummary]:
    """Return the kept revisions, newest first; unknown policy: PolicyNotFound."""
    columns = [revisions.c[name] for name in ("number", "digest", "module", "source_digest", "author", "created_at")]
    query = select(*columns, revisions.c.origin).where(revisions.c.policy_id == _row_id(connection, policy))
    if before is not None:
        query = query.where(revisions.c.number < before)
    rows = connection.execute(query.order_by(revisions.c.number.desc()).limit(limit)).mappings()
    return [RevisionSummary(id=policy, **row) for row in rows]


def read_kept(connection: Connection, policy: PolicyId, number: int) -> Revision:
    """Return one kept revision; PolicyNotFound, RevisionNotFound."""
    row_id = _row_id(connection, policy)
    query = _REVISION.where(revisions.c.policy_id == row_id, revisions.c.number == number)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise no_revision(policy, number)
    digests = {row[f"revision_{column}"] for column in ("source_data", "data")} - {None}
    return _revision(row, _texts(connection, sorted(digests)))


def _row_id(connection: Connection, policy: PolicyId) -> int:
    found = connection.execute(select(policies.c.id).where(BY_ID), key(policy)).scalar()
    if found is None:
        raise missing(policy)
    return int(found)


def read_module(connection: Connection, digest: str) -> bytes:
    """Return compiled bytes; unknown: KeyError."""
    wasm = connection.execute(_MODULE, {"digest": digest}).scalar()
    if wasm is None:
        raise KeyError(digest)
    return bytes(wasm)


def read_locks(connection: Connection) -> frozenset[PolicyId]:
    """Return all locked policies."""
    return frozenset(policy_of(row) for row in connection.execute(_LOCKS).mappings())


def read_changes(connection: Connection, since: int) -> list[PolicyChanged]:
    """Return the newest change of each policy and kind after ``since``, oldest first."""
    rows = connection.execute(_CHANGES, {"since": since}).mappings()
    return [PolicyChanged(policy_of(row), row["what"], row["stamp"]) for row in rows]


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces that fit one statement."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _filtered(wanted: PolicyFilter, dialect: str) -> Select[tuple[object, ...]]:
    conditions: list[ColumnElement[bool]] = []
    for column, value in (
        (policies.c.repository, wanted.repository),
        (policies.c.policy_group, wanted.group),
        (policies.c.version, wanted.version),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.locked is not None:
        conditions.append(policies.c.locked_at.is_not(None) if wanted.locked else policies.c.locked_at.is_(None))
    if wanted.name_contains is not None:
        # Not LIKE: it has wildcards to escape and a limit on its pattern.
        place = func.strpos if dialect == "postgresql" else func.instr
        conditions.append(place(policies.c.folded_name, fold(wanted.name_contains)) > 0)
    return _RECORDS.where(*conditions)


def _room(rows: Sequence[RowMapping]) -> int:
    """Return how many rows fit on a page, at least one; sizes are known before any document is read."""
    size = 0
    for count, row in enumerate(rows):
        size += row["effective_size"] or 0
        if row["revision_source_data"] != row["revision_data"]:
            size += row["own_size"] or 0
        if count and size > PAGE_SIZE:
            return count
    return len(rows)


def _records(connection: Connection, rows: Sequence[RowMapping]) -> list[PolicyRecord]:
    digests = {row[f"revision_{column}"] for row in rows for column in ("source_data", "data")} - {None}
    texts = _texts(connection, sorted(digests))
    found = []
    for row in rows:
        revision = None if row["active"] is None else _revision(row, texts)
        failure = _failure(row)
        state = standing(revision, failure)
        locked = row["locked_at"] is not None
        found.append(PolicyRecord(policy_of(row), revision, locked, state, failure, row["updated_at"], row["stamp"]))
    return found


def _texts(connection: Connection, digests: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for chunk in chunks(digests):
        query = select(documents.c.digest, documents.c.body).where(documents.c.digest.in_(chunk))
        texts.update((row.digest, row.body) for row in connection.execute(query))
    return texts


def _failure(row: RowMapping) -> Failure | None:
    if row["failure_code"] is None:
        return None
    return Failure(row["failure_code"], row["failure_message"], row["failure_at"], row["failure_source_digest"])


def _revision(row: RowMapping, texts: dict[str, str]) -> Revision:
    told = {name: row[f"revision_{name}"] for name in FIELDS}
    for name in ("source_data", "data"):
        told[name] = None if told[name] is None else texts[told[name]]
    return revision_of(policy_of(row), told)
