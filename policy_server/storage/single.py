"""One change is a batch of one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime

from policy_server.model.change import Applied, Change, Publication, Refusal, Removal
from policy_server.model.policy import CompiledPolicy, Failure, PolicyId, PolicySource, Revision
from policy_server.storage.listing import utc


class Single(ABC):
    """Gives a store that applies several changes the calls that apply one."""

    @abstractmethod
    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Make all changes, or none."""

    @abstractmethod
    def revision(self, policy: PolicyId, number: int) -> Revision:
        """Return one kept revision."""

    def publish(
        self, draft: PolicySource, compiled: CompiledPolicy, *, data: str | None, digest: str, author: str, at: datetime
    ) -> Revision:
        """Make a new active revision unless the active one is this already."""
        change = Publication(source=draft, compiled=compiled, data=data, digest=digest, author=author, at=utc(at))
        (done,) = self.apply([change])
        number = done.number or 0
        return change.revision(number) if done.is_new else self.revision(draft.id, number)

    def fail(self, policy: PolicyId, failure: Failure) -> None:
        """Record why the newest source could not be published."""
        self.apply([Refusal(policy, failure)])

    def delete(self, policy: PolicyId, *, actor: str = "", at: datetime | None = None) -> None:
        """Remove a policy with everything that belongs to it."""
        self.apply([Removal(id=policy, actor=actor, at=at)])
