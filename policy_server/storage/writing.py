"""Write policies on an open connection; the caller owns the transaction.

Writers rely on being alone (``BEGIN IMMEDIATE``; elsewhere a lock on the row
in ``stamps``), so that what they read stays true until they commit, and
stamps become visible in their order.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, exists, insert, or_, select, update

from policy_server.model.change import Applied, Change, Publication, Refusal, Removal
from policy_server.model.errors import AlreadyLocked, NotLocked
from policy_server.model.policy import Failure, PolicyId
from policy_server.storage.listing import check_seen, fold, missing
from policy_server.storage.outbox import differing, event_row
from policy_server.storage.records import BY_ID, STAMP, chunks, key
from policy_server.storage.tables import changes, documents, events, modules, policies, refreshes, revisions, stamps

_ACTIVE: Final = (
    select(
        policies.c.id,
        policies.c.active,
        policies.c.locked_at,
        policies.c.failure_code,
        policies.c.updated_at,
        revisions.c.digest,
        revisions.c.module,
        STAMP,
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


@dataclass(frozen=True, slots=True)
class _About:
    """What an event tells besides what and of which policy."""

    actor: str
    at: datetime
    revision: int | None
    changed: tuple[str, ...] = ()


def apply(connection: Connection, change: Change, *, keep: int) -> Applied:
    """Make one change; ``keep`` revisions stay. ChangedMeanwhile, PolicyNotFound."""
    known = _find(connection, change.id)
    check_seen(change.id, change.seen, 0 if known is None else known["stamp"])
    if isinstance(change, Publication):
        return _publish(connection, change, known, keep)
    if isinstance(change, Refusal):
        _refuse(connection, change, known)
    else:
        _remove(connection, change, known)
    return Applied(None, is_new=True)


def _publish(connection: Connection, change: Publication, known: RowMapping | None, keep: int) -> Applied:
    """Keep a revision under the next number, unless the active one is this already."""
    module = change.compiled.manifest.digest
    if known is not None and (known["digest"], known["module"]) == (change.digest, module):
        if known["failure_code"] is not None and change.failure is None:
            _update(connection, change.id, {**_failure(None), "updated_at": change.at})
            about = _About(change.author, change.at, known["active"], ("failure",))
            _announce(connection, change.id, "published", about)
        return Applied(known["active"], is_new=False)
    policy_id = _insert(connection, change.id, change.at) if known is None else known["id"]
    number = 1 if known is None or known["active"] is None else known["active"] + 1
    row = {**_row(change, number), **_keep_contents(connection, change)}
    changed = differing(_active_parts(connection, policy_id), {part: row[part] for part in _PARTS})
    connection.execute(insert(revisions), {**row, "policy_id": policy_id})
    values = {**_failure(change.failure), "active": number, "updated_at": change.at}
    _update(connection, change.id, {**values, "locked_at": change.at} if change.locked else values)
    _drop_revisions(connection, policy_id, up_to=number - keep)
    _announce(connection, change.id, "published", _About(change.author, change.at, number, changed))
    return Applied(number, is_new=True)


def _refuse(connection: Connection, change: Refusal, known: RowMapping | None) -> None:
    """Record a failure on a policy that is there or is made by it."""
    at = change.failure.at
    if known is None:
        _insert(connection, change.id, at)
    _update(connection, change.id, {**_failure(change.failure), "updated_at": at})
    active = None if known is None else known["active"]
    _announce(connection, change.id, "failed", _About("", at, active, ("failure",)))


def _remove(connection: Connection, change: Removal, known: RowMapping | None) -> None:
    """Delete a policy with everything that belongs to it."""
    if known is None:
        raise missing(change.id)
    _drop_revisions(connection, known["id"], up_to=None)
    connection.execute(delete(policies).where(policies.c.id == known["id"]))
    connection.execute(delete(refreshes).filter_by(**key(change.id)))
    connection.execute(delete(changes).filter_by(**key(change.id)))
    at = known["updated_at"] if change.at is None else change.at
    _announce(connection, change.id, "deleted", _About(change.actor, at, None))


def _failure(failure: Failure | None) -> dict[str, object]:
    if failure is None:
        return dict.fromkeys(("failure_code", "failure_message", "failure_at", "failure_source_digest"))
    return {
        "failure_code": failure.code,
        "failure_message": failure.message,
        "failure_at": failure.at,
        "failure_source_digest": failure.source_digest,
    }


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


def _row(made: Publication, number: int) -> dict[str, object]:
    source, manifest = made.source, made.compiled.manifest
    return {
        "number": number,
        "digest": made.digest,
        "author": made.author,
        "created_at": made.at,
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


def _keep_contents(connection: Connection, made: Publication) -> dict[str, str | None]:
    """Keep the module and the documents, equal ones once; return the columns that refer to them."""
    digest = made.compiled.manifest.digest
    if connection.execute(select(modules.c.digest).filter_by(digest=digest)).first() is None:
        connection.execute(insert(modules), {"digest": digest, "wasm": made.compiled.wasm})
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
