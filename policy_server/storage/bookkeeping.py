"""Leases and refresh state on an open connection; the caller owns the transaction."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, insert, select

from policy_server.model.policy import PolicyId
from policy_server.model.refresh import RefreshState
from policy_server.storage.records import key, policy_of
from policy_server.storage.tables import leases, refreshes

_STATES: Final = select(refreshes).order_by(
    refreshes.c.repository, refreshes.c.policy_group, refreshes.c.name, refreshes.c.version
)


def may_acquire(connection: Connection, name: str, holder: str, at: datetime) -> bool:
    """Tell whether a lease is free, this holder's, or has run out."""
    held = connection.execute(select(leases).filter_by(name=name)).mappings().first()
    return held is None or held["holder"] == holder or held["until"] <= at


def acquire(connection: Connection, name: str, holder: str, until: datetime, at: datetime) -> bool:
    """Take or renew a lease; the caller writes alone, so that nobody comes between looking and taking."""
    if not may_acquire(connection, name, holder, at):
        return False
    connection.execute(delete(leases).filter_by(name=name))
    connection.execute(insert(leases), {"name": name, "holder": holder, "until": until})
    return True


def release(connection: Connection, name: str, holder: str) -> None:
    """Give a lease back when it is this holder's."""
    connection.execute(delete(leases).filter_by(name=name, holder=holder))


def read_state(connection: Connection, policy: PolicyId) -> RefreshState | None:
    """Return the state of one policy."""
    row = connection.execute(select(refreshes).filter_by(**key(policy))).mappings().first()
    return None if row is None else _state(row)


def read_states(connection: Connection) -> list[RefreshState]:
    """Return all states, ordered by id."""
    return [_state(row) for row in connection.execute(_STATES).mappings()]


def save_state(connection: Connection, state: RefreshState) -> None:
    """Put a state in the place of the one before."""
    values = {
        "config_digest": state.config_digest,
        "next_run": state.next_run,
        "last_attempt": state.last_attempt,
        "last_success": state.last_success,
        "error": state.error,
        "size": state.size,
        "digest": state.digest,
        "failures": state.failures,
    }
    drop_state(connection, state.id)
    connection.execute(insert(refreshes), {**key(state.id), **values})


def drop_state(connection: Connection, policy: PolicyId) -> None:
    """Forget the state of one policy."""
    connection.execute(delete(refreshes).filter_by(**key(policy)))


def _state(row: RowMapping) -> RefreshState:
    return RefreshState(
        id=policy_of(row),
        config_digest=row["config_digest"],
        next_run=row["next_run"],
        last_attempt=row["last_attempt"],
        last_success=row["last_success"],
        error=row["error"],
        size=row["size"],
        digest=row["digest"],
        failures=row["failures"],
    )
