"""What a store may be told to change, alone or together with other changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from policy_server.model.policy import CompiledPolicy, Failure, PolicyId, PolicySource, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Make a new active revision, unless the active one has this digest and this module already.

    ``data`` is the effective document. ``failure`` is what is known to be wrong with a
    newer source and stays listed; None clears it. ``seen`` is the stamp of the
    policy's record that this was decided by, 0 for a policy that was not there,
    None when it does not matter. ``locked`` locks the policy together with the new revision.
    """

    source: PolicySource
    compiled: CompiledPolicy
    data: str | None
    digest: str
    author: str
    at: datetime
    failure: Failure | None = None
    seen: int | None = None
    locked: bool = False

    @property
    def id(self) -> PolicyId:
        """The policy that it is about."""
        return self.source.id

    def revision(self, number: int) -> Revision:
        """Return the revision that it becomes under a number."""
        manifest = self.compiled.manifest
        return Revision(self.id, number, self.source, manifest, self.data, self.digest, self.author, self.at)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Record that the newest source failed; an active revision stays active."""

    id: PolicyId
    failure: Failure
    seen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Remove a policy with revisions, lock and refresh state.

    ``at`` is the time of the event, that of the last change when absent.
    """

    id: PolicyId
    actor: str = ""
    at: datetime | None = None
    seen: int | None = None


Change: TypeAlias = Publication | Refusal | Removal


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a change: the number of the active revision, and whether anything but a failure was written."""

    number: int | None
    is_new: bool
