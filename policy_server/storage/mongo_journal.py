"""Make changes of several MongoDB documents appear as one, without transactions.

One document holds the stamp and the change that is under way, if there is one.
Writing that document, by a compare-and-set, *is* the commit: whoever reads it
next, the writer or any other process, finds the change there and carries it
out before doing anything else. Carrying out is idempotent and may be done by
several at once, however slow one of them is: every document that a change
touches remembers the newest stamp that touched it, and older changes leave it
alone. So a writer that is killed before the commit has changed nothing, and
one that is killed after it loses nothing.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import bson
from pymongo import errors
from pymongo.collection import Collection

from policy_server.model.errors import StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.storage.mongo_contents import Contents
from policy_server.storage.mongo_server import GLANCE, Document, MongoServer

SCHEMA: Final = 1
STATE: Final = "policy_server_state"
"""The collection with the document that every commit writes."""

_ID: Final = {"_id": "stamp"}
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change does: to the document of one policy, and to what hangs on it.

    ``contents`` are kept before the commit; ``release`` are no longer needed by
    this policy, ``forget`` drops its refresh state; ``event`` is for the outbox.
    """

    update: Document
    contents: dict[str, bytes] = field(default_factory=dict)
    release: Sequence[str] = ()
    forget: bool = False
    event: Document | None = None


class Journal:
    """Lets writers take turns and carries out what they decided."""

    def __init__(self, server: MongoServer) -> None:
        """Take the server; nothing is read yet."""
        self._server = server
        self._contents = Contents(server)

    def stamp(self) -> int:
        """Return the stamp as committed now; StoreUnavailable after a second without an answer."""
        with self._server.explained(within=GLANCE):
            found = self._state.find_one(_ID, {"stamp": 1})
        return int(self._complete(found)["stamp"])

    def settle(self) -> int:
        """Carry out the change that is under way, if there is one; return the stamp that everything shows now."""
        found = self._complete(self._state.find_one(_ID))
        if found["pending"] is not None:
            self._carry_out(found["pending"])
        return int(found["stamp"])

    def change(self, policy: PolicyId, decide: Callable[[Document | None, int], Plan | None]) -> None:
        """Change one policy; ``decide`` gets its document and the stamp the change will have, and may be asked again.

        It returns None when there is nothing to do.
        """
        until = time.monotonic() + _PATIENCE
        pause = 0.001
        while True:
            stamp = self.settle() + 1
            plan = decide(self._server.policies.find_one(key(policy)), stamp)
            if plan is None:
                return
            self._contents.keep(plan.contents, stamp)
            if self._commit(self._pending(policy, plan, stamp)):
                return
            if time.monotonic() > until:
                raise StoreUnavailable(f"{self._server.place} was kept busy by other writers for too long.")
            time.sleep(random.uniform(0, pause))
            pause = min(pause * 2, 0.05)

    def prepare(self) -> None:
        """Make the state when it is missing; StoreUnavailable when a newer version made it."""
        with suppress(errors.DuplicateKeyError):  # another process came first
            self._state.update_one(_ID, {"$setOnInsert": {"stamp": 0, "pending": None, "schema": SCHEMA}}, upsert=True)
        if "pending" not in self._complete(self._state.find_one(_ID), schema=True):
            # Such servers also let two writers win one compare-and-set, which would damage everything silently.
            raise StoreUnavailable(f"{self._server.place} does not keep what it is told, as FerretDB 1; use MongoDB.")

    @property
    def _state(self) -> Collection[Document]:
        return self._server.collection(STATE)

    def _complete(self, found: Document | None, *, schema: bool = False) -> Document:
        if found is None:
            raise StoreUnavailable(f"{self._server.place} is not complete; run: policy-server db upgrade")
        if schema and found["schema"] > SCHEMA:
            raise StoreUnavailable(
                f"{self._server.place} was made by a newer version of policy-server (schema {found['schema']}, "
                f"this one knows {SCHEMA}); install that version again, or restore a backup."
            )
        return found

    def _pending(self, policy: PolicyId, plan: Plan, stamp: int) -> Document:
        # Nothing else can be committed between looking here and this commit, so what is unused stays unused.
        used: set[str] = set()
        if plan.release:
            elsewhere = {"refs": {"$in": list(plan.release)}, "order": {"$ne": order(policy)}}
            for other in self._server.policies.find(elsewhere, {"refs": 1}):
                used.update(other["refs"])
        return {
            "stamp": stamp,
            "key": key(policy),
            "update": bson.encode(plan.update),  # as bytes: names that begin with a dollar are not for documents
            "drop": [digest for digest in plan.release if digest not in used],
            "forget": order(policy) if plan.forget else None,
            "event": plan.event,
        }

    def _commit(self, pending: Document) -> bool:
        stamp = pending["stamp"]
        before = {**_ID, "stamp": stamp - 1, "pending": None}
        if self._state.update_one(before, {"$set": {"stamp": stamp, "pending": pending}}).modified_count == 0:
            return False
        self._carry_out(pending)
        return True

    def _carry_out(self, pending: Document) -> None:
        stamp = pending["stamp"]
        older = {**pending["key"], "$or": [{"stamp": {"$lt": stamp}}, {"stamp": None}]}
        with suppress(errors.DuplicateKeyError):  # it is there with this stamp or a newer one: this was done before
            self._server.policies.update_one(older, bson.decode(pending["update"]), upsert=True)
        if pending["event"] is not None:
            self._insert_event(pending["event"])
        self._contents.drop(pending["drop"], before=stamp)
        if pending["forget"] is not None:
            self._server.collection("policy_server_refreshes").delete_one(
                {"_id": pending["forget"], "stamp": {"$lt": stamp}}
            )
        self._state.update_one({**_ID, "stamp": stamp}, {"$set": {"pending": None}})

    def _insert_event(self, event: Document) -> None:
        with suppress(errors.DuplicateKeyError):  # another process did it at this moment
            self._server.collection("policy_server_events").update_one(
                {"_id": event["_id"]}, {"$setOnInsert": event}, upsert=True
            )


def key(policy: PolicyId) -> dict[str, str]:
    """Return the fields that name a policy, as the original service has them."""
    return {
        "repository": policy.repository,
        "group": policy.group,
        "name": policy.name,
        "version": policy.version,
    }


def order(policy: PolicyId) -> str:
    """Return a text that sorts as the id does, by code point, in every server."""
    return ",".join(part.encode().hex() for part in key(policy).values())
