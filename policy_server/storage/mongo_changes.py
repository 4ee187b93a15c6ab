"""What changes of policies are in MongoDB: steps of the journal, decided again when another writer came first."""

from dataclasses import replace
from datetime import datetime

from policy_server.model.change import Applied, Change, Publication, Refusal, Removal
from policy_server.model.errors import AlreadyLocked, NotLocked
from policy_server.model.policy import PolicyId
from policy_server.storage import mongo_policies as documents
from policy_server.storage.listing import check_seen, missing
from policy_server.storage.mongo_contents import Contents
from policy_server.storage.mongo_journal import Decide, Plan
from policy_server.storage.mongo_micros import from_micros
from policy_server.storage.mongo_server import Document
from policy_server.storage.outbox import differing, event_row
from policy_server.storage.shelf_mongo import write_event


class Drafts:
    """Turns changes into steps, without holding their texts; tells what became of each."""

    def __init__(self, contents: Contents, keep: int) -> None:
        """Take what keeps contents; ``keep`` revisions of each policy stay."""
        self._contents = contents
        self._keep = keep
        self._done: dict[PolicyId, Applied] = {}

    def add(self, change: Change, stamp: int) -> tuple[PolicyId, Decide]:
        """Keep what a change needs, for the stamp it will probably have; return its step."""
        if isinstance(change, Publication):
            return change.id, self._publication(change, stamp)
        self._done[change.id] = Applied(None, is_new=True)
        if isinstance(change, Refusal):
            return change.id, _refusal(change)
        return change.id, _removal(change)

    def outcome(self, policy: PolicyId) -> Applied:
        """Tell what became of the change of a policy."""
        return self._done[policy]

    def _publication(self, change: Publication, stamp: int) -> Decide:
        made, apart = documents.revision_document(change)
        self._contents.keep(apart, stamp)
        # Not the change itself: the texts of five thousand policies would not fit in here.
        policy, seen, locked = change.id, change.seen, change.locked
        failure = None if change.failure is None else documents.failure_document(change.failure)

        def decide(known: Document | None, stamp: int) -> Plan | None:
            check_seen(policy, seen, _stamp_of(known))
            history = history_of(known)
            active = history[-1] if history else None
            if active is None or (active["digest"], active["module"]) != (made["digest"], made["module"]):
                number = 1 if active is None else active["number"] + 1
                self._done[policy] = Applied(number, is_new=True)
                plan = self._revised(policy, {**made, "number": number}, known, failure, stamp)
                return _with_lock(plan) if locked else plan
            self._done[policy] = Applied(active["number"], is_new=False)
            if failure is not None or known is None or known.get("failure") is None:
                return None
            return _repaired(policy, {**made, "number": active["number"]}, stamp)

        return decide

    def _revised(
        self, policy: PolicyId, made: Document, known: Document | None, failure: Document | None, stamp: int
    ) -> Plan:
        history = [*history_of(known), made][-self._keep :]
        refs = documents.refs_of(history)
        before = [] if known is None else known.get("refs") or []
        at = from_micros(made["at"])
        changed = documents.touched(policy, "published", stamp, at)
        update = {
            "$set": {**changed, "failure": failure, "refs": refs},
            "$push": {"history": {"$each": [made], "$slice": -self._keep}},
        }
        parts = differing(documents.parts_of(history_of(known)), documents.parts_of([made]))
        event = _event(stamp, "published", policy, made["number"], changed=parts, actor=made["author"], at=at)
        return Plan(update, documents.refs_of([made]), [ref for ref in before if ref not in refs], event=event)


def turning(policy: PolicyId, at: datetime, actor: str, *, locked: bool) -> Decide:
    """Lock or unlock; AlreadyLocked, NotLocked, PolicyNotFound."""

    def decide(known: Document | None, stamp: int) -> Plan:
        if bool(need(known, policy).get("locked")) is locked:
            raise AlreadyLocked if locked else NotLocked
        what = "locked" if locked else "unlocked"
        changed = documents.touched(policy, what, stamp, at)
        event = _event(stamp, what, policy, _active(known), changed=("locked",), actor=actor, at=at)
        return Plan({"$set": {**changed, "locked": locked}}, event=event, locks=True)

    return decide


def history_of(known: Document | None) -> list[Document]:
    """Return the kept revisions of a policy, oldest first."""
    return [] if known is None else known.get("history") or []


def need(known: Document | None, policy: PolicyId) -> Document:
    """Return the document of a policy that is there; else PolicyNotFound."""
    if known is None or not known.get("live"):
        raise missing(policy)
    return known


def _refusal(change: Refusal) -> Decide:
    def decide(known: Document | None, stamp: int) -> Plan:
        check_seen(change.id, change.seen, _stamp_of(known))
        changed = documents.touched(change.id, "failed", stamp, change.failure.at)
        changed["failure"] = documents.failure_document(change.failure)
        if known is None or known.get("history") is None:
            changed["history"] = []
        event = _event(stamp, "failed", change.id, _active(known), changed=("failure",), at=change.failure.at)
        return Plan({"$set": changed}, event=event)

    return decide


def _removal(change: Removal) -> Decide:
    """Remove a policy with everything that belongs to it; a small mark stays, so that all learn of it."""

    def decide(known: Document | None, stamp: int) -> Plan:
        check_seen(change.id, change.seen, _stamp_of(known))
        found = need(known, change.id)
        gone: Document = {"stamp": stamp, "live": False, "locked": False, "changes": {"deleted": stamp}}
        gone |= {"history": [], "refs": []}
        empty = dict.fromkeys((*documents.LEGACY_TEXTS, "failure", "nextDataRefreshTime"), "")
        moment = from_micros(found["updated"]) if change.at is None else change.at
        event = _event(stamp, "deleted", change.id, None, actor=change.actor, at=moment)
        update = {"$set": gone, "$unset": empty}
        return Plan(update, release=found.get("refs", []), forget=True, event=event, locks=True)

    return decide


def _with_lock(plan: Plan) -> Plan:
    """Return a plan that locks its policy, too."""
    return replace(plan, update={**plan.update, "$set": {**plan.update["$set"], "locked": True}}, locks=True)


def _repaired(policy: PolicyId, made: Document, stamp: int) -> Plan:
    at = from_micros(made["at"])
    changed = documents.touched(policy, "published", stamp, at)
    event = _event(stamp, "published", policy, made["number"], changed=("failure",), actor=made["author"], at=at)
    return Plan({"$set": {**changed, "failure": None}}, event=event)


def _event(
    stamp: int,
    what: str,
    policy: PolicyId,
    revision: int | None,
    *,
    at: datetime,
    changed: tuple[str, ...] = (),
    actor: str = "",
) -> Document:
    return write_event(event_row(stamp, what, policy, revision=revision, changed=changed, actor=actor, at=at))


def _stamp_of(known: Document | None) -> int:
    return int(known["stamp"]) if known is not None and known.get("live") else 0


def _active(known: Document | None) -> int | None:
    history = history_of(known)
    return int(history[-1]["number"]) if history else None
