"""Indexes, leases and refresh state in MongoDB; each write is one document."""

from datetime import datetime
from typing import Final

from pymongo import errors

from policy_server.model.policy import PolicyId
from policy_server.model.refresh import RefreshState
from policy_server.storage.listing import utc
from policy_server.storage.mongo_journal import key, order, policy_of
from policy_server.storage.mongo_micros import from_micros, to_micros
from policy_server.storage.mongo_server import Document, MongoServer

_LEASES: Final = "policy_server_leases"
_REFRESHES: Final = "policy_server_refreshes"


def make_indexes(server: MongoServer) -> None:
    """Make the indexes that are missing."""
    policies = server.policies
    policies.create_index([(part, 1) for part in ("repository", "group", "name", "version")], unique=True)
    for name in ("stamp", "order", "locked", "refs", "nextDataRefreshTime"):
        policies.create_index(name)
    contents = server.collection("policy_server_contents")
    contents.create_index("digest")
    contents.create_index("touched")
    server.collection("policy_server_batches").create_index("batch")


def acquire(server: MongoServer, name: str, holder: str, until: datetime, at: datetime) -> bool:
    """Take or renew a lease: one conditional write, so that of several exactly one succeeds."""
    free = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lte": to_micros(at)}}]}
    try:
        server.collection(_LEASES).update_one(
            free, {"$set": {"holder": holder, "until": to_micros(until)}}, upsert=True
        )
    except errors.DuplicateKeyError:
        return False  # it is there, and another's
    return True


def release(server: MongoServer, name: str, holder: str) -> None:
    """Give a lease back when it is this holder's."""
    server.collection(_LEASES).delete_one({"_id": name, "holder": holder})


def read_state(server: MongoServer, policy: PolicyId) -> RefreshState | None:
    """Return the state of one policy."""
    found = server.collection(_REFRESHES).find_one({"_id": order(policy)})
    return None if found is None else _state(found)


def read_states(server: MongoServer) -> list[RefreshState]:
    """Return all states, ordered by id."""
    return [_state(found) for found in server.collection(_REFRESHES).find().sort("_id", 1)]


def save_state(server: MongoServer, state: RefreshState, stamp: int) -> None:
    """Put a state in the place of the one before; ``stamp`` tells it from states of a deleted policy."""
    document = {
        **key(state.id),
        "stamp": stamp,
        "config_digest": state.config_digest,
        "next_run": _written(state.next_run),
        "last_attempt": _written(state.last_attempt),
        "last_success": _written(state.last_success),
        "error": state.error,
        "size": state.size,
        "digest": state.digest,
        "failures": state.failures,
    }
    server.collection(_REFRESHES).update_one({"_id": order(state.id)}, {"$set": document}, upsert=True)


def drop_state(server: MongoServer, policy: PolicyId) -> None:
    """Forget the state of one policy."""
    server.collection(_REFRESHES).delete_one({"_id": order(policy)})


def _written(at: datetime | None) -> int | None:
    return None if at is None else to_micros(utc(at))


def _read(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def _state(found: Document) -> RefreshState:
    return RefreshState(
        id=policy_of(found),
        config_digest=found["config_digest"],
        next_run=_read(found["next_run"]),
        last_attempt=_read(found["last_attempt"]),
        last_success=_read(found["last_success"]),
        error=found["error"],
        size=found["size"],
        digest=found["digest"],
        failures=found["failures"],
    )
