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
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import bson
from pymongo import UpdateOne, errors
from pymongo.collection import Collection

from policy_server.model.errors import StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.storage.mongo_batches import Batches
from policy_server.storage.mongo_contents import CHUNK, Contents, Pieces
from policy_server.storage.mongo_server import GLANCE, Document, MongoServer, only_duplicates
from policy_server.storage.mongo_turn import Turn

SCHEMA: Final = 1
STATE: Final = "policy_server_state"
"""The collection with the document that every commit writes."""

_ID: Final = {"_id": "stamp"}
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change does: to the document of one policy, and to what hangs on it.

    ``contents`` are what it needs to be kept, ``release`` is no longer needed by
    this policy; ``forget`` drops its refresh state; ``event`` is for the outbox.
    ``locks`` says whether other policies are locked afterwards than before.
    """

    update: Document
    contents: Sequence[str] = ()
    release: Sequence[str] = ()
    forget: bool = False
    event: Document | None = None
    locks: bool = False


Decide = Callable[[Document | None, int], Plan | None]
"""Gets the document of a policy and the stamp the change will have; None when there is nothing to do."""

Step = tuple[PolicyId, Decide]


class Journal:
    """Lets writers take turns and carries out what they decided."""

    def __init__(self, server: MongoServer) -> None:
        """Take the server; nothing is read yet."""
        self._server = server
        self._contents = Pieces(server)
        self._batches = Batches(server)

    def stamp(self) -> int:
        """Return the stamp as committed now; StoreUnavailable after a second without an answer."""
        with self._server.explained(within=GLANCE):
            found = self._state.find_one(_ID, {"stamp": 1})
        return int(self._complete(found)["stamp"])

    def settle(self) -> int:
        """Carry out the change that is under way, if there is one; return the stamp that everything shows now."""
        return int(self._settled()["stamp"])

    def _settled(self) -> Document:
        found = self._complete(self._state.find_one(_ID))
        if found["pending"] is not None:
            self._carry_out(found["pending"])
        return found

    def locks_are_settled(self) -> None:
        """Carry out the change that is under way if it locks or unlocks a policy."""
        found = self._complete(self._state.find_one(_ID))
        if found["pending"] is not None and found["pending"].get("locks", True):
            self._carry_out(found["pending"])

    def change(self, steps: Sequence[Step], contents: Contents) -> None:
        """Make changes of different policies as one; each may be decided again.

        ``contents`` keeps what the plans name.
        """
        turn = Turn(self._state)
        try:
            self._change(steps, contents, turn)
        finally:
            turn.end()

    def _change(self, steps: Sequence[Step], contents: Contents, turn: Turn) -> None:
        until = time.monotonic() + _PATIENCE
        pause = 0.001
        while True:
            found = self._settled()
            if not turn.is_of_another(found):
                if self._try(steps, contents, int(found["stamp"]) + 1):
                    return
                turn.lose()
            if time.monotonic() > until:
                raise StoreUnavailable(f"{self._server.place} was kept busy by other writers for too long.")
            time.sleep(random.uniform(0, pause))
            pause = min(pause * 2, 0.05)

    def _try(self, steps: Sequence[Step], contents: Contents, first: int) -> bool:
        """Decide and commit, with stamps from ``first`` on; False when another writer came first."""
        plans = self._decided(steps, first)
        if not plans:
            return True
        contents.want([name for _, plan in plans for name in plan.contents], first)
        return self._commit(self._pending(plans, first))

    def tidy(self, stamp: int) -> None:
        """Forget what was written for commits that can never be; everything up to ``stamp`` is carried out."""
        self._batches.tidy(stamp)

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

    def _decided(self, steps: Sequence[Step], first: int) -> list[tuple[PolicyId, Plan]]:
        """Return what is to be done; stamps count up from ``first``."""
        plans: list[tuple[PolicyId, Plan]] = []
        for start in range(0, len(steps), CHUNK):
            chunk = steps[start : start + CHUNK]
            known = self._known([policy for policy, _ in chunk])
            for policy, decide in chunk:
                plan = decide(known.get(order(policy)), first + len(plans))
                if plan is not None:
                    plans.append((policy, plan))
        return plans

    def _known(self, policies: Sequence[PolicyId]) -> dict[str, Document]:
        """Return the documents of policies; others, whose parts are mixed from theirs, do no harm."""
        keys = [key(policy) for policy in policies]
        wanted = {part: {"$in": sorted({each[part] for each in keys})} for part in keys[0]}
        found = self._server.policies.find(keys[0] if len(keys) == 1 else wanted)
        return {order(policy_of(document)): document for document in found}

    def _pending(self, plans: Sequence[tuple[PolicyId, Plan]], first: int) -> Document:
        """Write down what is to be carried out once it is committed."""
        used = self._used(plans)
        changes = [_written(policy, plan, first + place, used) for place, (policy, plan) in enumerate(plans)]
        pending = {
            "stamp": first + len(plans) - 1,
            "count": len(plans),
            "locks": any(plan.locks for _, plan in plans),
        }
        return pending | self._batches.write(changes, first)

    def _used(self, plans: Sequence[tuple[PolicyId, Plan]]) -> set[str]:
        """Return what others need of that which some policies let go, these policies among them."""
        # Nothing else can be committed between looking here and this commit, so what is unused stays unused.
        released = {order(policy): set(plan.release) for policy, plan in plans}
        used = {name for _, plan in plans for name in plan.contents}
        names = sorted(set().union(*released.values()))
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            for other in self._server.policies.find({"refs": {"$in": chunk}}, {"refs": 1, "order": 1}):
                used.update(set(other["refs"]) - released.get(other["order"], set()))
        return used

    def _commit(self, pending: Document) -> bool:
        stamp = pending["stamp"]
        before = {**_ID, "stamp": stamp - pending["count"], "pending": None}
        if self._state.update_one(before, {"$set": {"stamp": stamp, "pending": pending}}).modified_count == 0:
            self._batches.drop(pending)
            return False
        self._carry_out(pending)
        return True

    def _carry_out(self, pending: Document) -> None:
        stamp = pending["stamp"]
        for changes in self._batches.read(pending):
            self._update(changes)
            self._insert_events([change["event"] for change in changes if change["event"] is not None])
            for change in changes:
                if change["forget"] is not None:
                    self._server.collection("policy_server_refreshes").delete_one(
                        {"_id": change["forget"], "stamp": {"$lt": change["stamp"]}}
                    )
        for changes in self._batches.read(pending):
            dropped = [name for change in changes for name in change.get("drop", ())]
            self._contents.drop(dropped, before=stamp)
        self._state.update_one({**_ID, "stamp": stamp}, {"$set": {"pending": None}})
        self._batches.drop(pending)

    def _update(self, changes: Sequence[Document]) -> None:
        updates = []
        for change in changes:
            older = {**change["key"], "$or": [{"stamp": {"$lt": change["stamp"]}}, {"stamp": None}]}
            updates.append(UpdateOne(older, bson.decode(change["update"]), upsert=True))
        # It is there with this stamp or a newer one: this was done before.
        with _unless_there():
            self._server.policies.bulk_write(updates, ordered=False)

    def _insert_events(self, events: Sequence[Document]) -> None:
        updates = [UpdateOne({"_id": event["_id"]}, {"$setOnInsert": event}, upsert=True) for event in events]
        if updates:
            with _unless_there():  # another process did it at this moment
                self._server.collection("policy_server_events").bulk_write(updates, ordered=False)


@contextmanager
def _unless_there() -> Iterator[None]:
    """Let inserts fail for what is there already, and for nothing else."""
    try:
        yield
    except errors.BulkWriteError as error:
        if not only_duplicates(error):
            raise


def _written(policy: PolicyId, plan: Plan, stamp: int, used: Set[str]) -> Document:
    return {
        "stamp": stamp,
        "key": key(policy),
        "update": bson.encode(plan.update),  # as bytes: names that begin with a dollar are not for documents
        "forget": order(policy) if plan.forget else None,
        "event": plan.event,
        "drop": [name for name in plan.release if name not in used],
    }


def policy_of(document: Mapping[str, object]) -> PolicyId:
    """Read the policy that a document is about; missing parts are empty."""
    parts = (document.get(part) for part in ("repository", "group", "name", "version"))
    return PolicyId(*("" if part is None else str(part) for part in parts))


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
