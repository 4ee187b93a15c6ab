"""Write policies on an open connection; the caller owns the transaction.

Writers rely on being alone (``BEGIN IMMEDIATE``; elsewhere a lock on the row
in ``stamps``), so that what they read stays true until they commit, and
stamps become visible in their order.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, exists, insert, or_, select, update

from policy_server.model.errors import AlreadyLocked, NotLocked
from policy_server.model.policy import Failure, PolicyId, Revision
from policy_server.storage.listing import fold
from policy_server.storage.outbox import differing, event_row
from policy_server.storage.records import BY_ID, chunks, key, missing, read_record
from policy_server.storage.tables import changes, documents, events, modules, policies, refreshes, revisions, stamps

_ACTIVE: Final = (
    select(
        policies.c.id,
        policies.c.active,
        policies.c.locked_at,
        policies.c.failure_code,
        policies.c.updated_at,
        revisions.c.digest,
    )
    .select_from(
        policies.outerjoin(
            revisions, (revisions.c.policy_id == policies.c.id) & (revisions.c.number == policies.c.active)
        )
    )
    .where(BY_ID)
)
_BUMP: Final = update(stamps).values(stamp=stamps.c.stamp + 1).returning(stamps.c.stamp)
_CONTENTS: Final = (revisions.c.module, revisions.c.source_data, revisions.c.data)
_PARTS: Final = ("rego", "data", "data_config", "output_schema", "export_config")
_NO_FAILURE: Final[Mapping[str, None]] = {
    "failure_code": None,
    "failure_message": None,
    "failure_at": None,
    "failure_source_digest": None,
}


@dataclass(frozen=True, slots=True)
class _About:
    """What an event tells besides what and of which policy."""

    actor: str
    at: datetime
    revision: int | None
    changed: tuple[str, ...] = ()


def publish(connection: Connection, made: Revision, wasm: bytes, *, keep: int) -> Revision:
    """Keep ``made`` under the next number, unless the active revision has its digest."""
    known = _find(connection, made.id)
    if known is not None and known["digest"] == made.digest:
        if known["failure_code"] is not None:
            _update(connection, made.id, {**_NO_FAILURE, "updated_at": made.created_at})
            about = _About(made.author, made.created_at, known["active"], ("failure",))
            _announce(connection, made.id, "published", about)
        return read_record(connection, made.id).revision or made
    policy_id = _insert(connection, made.id, made.created_at) if known is None else known["id"]
    number = 1 if known is None or known["active"] is None else known["active"] + 1
    row = {**_row(made, number), **_keep_contents(connection, made, wasm)}
    changed = differing(_active_parts(connection, policy_id), {part: row[part] for part in _PARTS})
    connection.execute(insert(revisions), {**row, "policy_id": policy_id})
    _update(connection, made.id, {**_NO_FAILURE, "active": number, "updated_at": made.created_at})
    _drop_revisions(connection, policy_id, up_to=number - keep)
    _announce(connection, made.id, "published", _About(made.author, made.created_at, number, changed))
    return replace(made, number=number)


def fail(connection: Connection, policy: PolicyId, failure: Failure) -> None:
    """Record a failure on a policy that is there or is made by it."""
    known = _find(connection, policy)
    if known is None:
        _insert(connection, policy, failure.at)
    values = {
        "failure_code": failure.code,
        "failure_message": failure.message,
        "failure_at": failure.at,
        "failure_source_digest": failure.source_digest,
        "updated_at": failure.at,
    }
    _update(connection, policy, values)
    active = None if known is None else known["active"]
    _announce(connection, policy, "failed", _About("", failure.at, active, ("failure",)))


def remove(connection: Connection, policy: PolicyId, at: datetime | None, actor: str) -> None:
    """Delete a policy with everything that belongs to it."""
    known = _need(connection, policy)
    _drop_revisions(connection, known["id"], up_to=None)
    connection.execute(delete(policies).where(policies.c.id == known["id"]))
    connection.execute(delete(refreshes).filter_by(**key(policy)))
    connection.execute(delete(changes).filter_by(**key(policy)))
    _announce(connection, policy, "deleted", _About(actor, known["updated_at"] if at is None else at, None))


def lock(connection: Connection, policy: PolicyId, at: datetime, actor: str) -> None:
    """Lock a policy that is not locked."""
    known = _need(connection, policy)
    if known["locked_at"] is not None:
        raise AlreadyLocked
    _update(connection, policy, {"locked_at": at, "updated_at": at})
    _announce(connection, policy, "locked", _About(actor, at, known["active"], ("locked",)))


def unlock(connection: Connection, policy: PolicyId, at: datetime, actor: str) -> None:
    """Unlock a policy that is locked."""
    known = _need(connection, policy)
    if known["locked_at"] is None:
        raise NotLocked
    _update(connection, policy, {"locked_at": None, "updated_at": at})
    _announce(connection, policy, "unlocked", _About(actor, at, known["active"], ("locked",)))


def _find(connection: Connection, policy: PolicyId) -> RowMapping | None:
    return connection.execute(_ACTIVE, key(policy)).mappings().first()


def _need(connection: Connection, policy: PolicyId) -> RowMapping:
    known = _find(connection, policy)
    if known is None:
        raise missing(policy)
    return known


def _insert(connection: Connection, policy: PolicyId, at: datetime) -> int:
    values = {**key(policy), "folded_name": fold(policy.name), "updated_at": at}
    return int(connection.execute(insert(policies).values(values).returning(policies.c.id)).scalar_one())


def _update(connection: Connection, policy: PolicyId, values: Mapping[str, object]) -> None:
    connection.execute(update(policies).filter_by(**key(policy)).values(**values))


def _active_parts(connection: Connection, policy_id: int) -> Mapping[str, object]:
    """Return the parts of the active revision; documents by their digest."""
    columns = [revisions.c[part] for part in _PARTS]
    query = select(*columns).where(revisions.c.policy_id == policy_id).order_by(revisions.c.number.desc()).limit(1)
    found = connection.execute(query).mappings().first()
    return {} if found is None else dict(found)


def _announce(connection: Connection, policy: PolicyId, what: str, about: _About) -> None:
    """Count the stamp up, put this change in the place of the last one of its kind, and write its event."""
    stamp = connection.execute(_BUMP).scalar_one()
    connection.execute(delete(changes).filter_by(**key(policy), what=what))
    connection.execute(insert(changes), {**key(policy), "what": what, "stamp": stamp})
    event = event_row(
        stamp, what, policy, revision=about.revision, changed=about.changed, actor=about.actor, at=about.at
    )
    connection.execute(insert(events), event)


def _row(made: Revision, number: int) -> dict[str, object]:
    source, manifest = made.source, made.manifest
    return {
        "number": number,
        "digest": made.digest,
        "author": made.author,
        "created_at": made.created_at,
        "dialect": str(source.dialect),
        "origin": source.origin,
        "source_digest": manifest.source_digest,
        "opa_version": manifest.opa_version,
        "compiled_dialect": str(manifest.dialect),
        "entrypoints": list(manifest.entrypoints),
        "builtins": list(manifest.builtins),
        "rego": source.rego,
        "data_config": source.data_config,
        "output_schema": source.output_schema,
        "export_config": source.export_config,
    }


def _keep_contents(connection: Connection, made: Revision, wasm: bytes) -> dict[str, str | None]:
    """Keep the module and the documents, equal ones once; return the columns that refer to them."""
    digest = made.manifest.digest
    if connection.execute(select(modules.c.digest).filter_by(digest=digest)).first() is None:
        connection.execute(insert(modules), {"digest": digest, "wasm": wasm})
    own = _keep_document(connection, made.source.data)
    effective = own if made.data == made.source.data else _keep_document(connection, made.data)
    return {"module": digest, "source_data": own, "data": effective}


def _keep_document(connection: Connection, text: str | None) -> str | None:
    if text is None:
        return None
    digest = hashlib.sha256(text.encode()).hexdigest()
    if connection.execute(select(documents.c.digest).filter_by(digest=digest)).first() is None:
        connection.execute(insert(documents), {"digest": digest, "size": len(text), "body": text})
    return digest


def _drop_revisions(connection: Connection, policy_id: int, *, up_to: int | None) -> None:
    """Delete old revisions, and the contents that no other revision refers to."""
    dropping = delete(revisions).where(revisions.c.policy_id == policy_id)
    if up_to is not None:
        dropping = dropping.where(revisions.c.number <= up_to)
    dropped = connection.execute(dropping.returning(*_CONTENTS)).all()
    wasm = {module for module, _, _ in dropped}
    texts = {digest for _, own, effective in dropped for digest in (own, effective)} - {None}
    for chunk in chunks(sorted(wasm)):
        used = exists().where(revisions.c.module == modules.c.digest)
        connection.execute(delete(modules).where(modules.c.digest.in_(chunk), ~used))
    for chunk in chunks(sorted(texts)):
        used = exists().where(
            or_(revisions.c.source_data == documents.c.digest, revisions.c.data == documents.c.digest)
        )
        connection.execute(delete(documents).where(documents.c.digest.in_(chunk), ~used))
