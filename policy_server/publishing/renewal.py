"""Compiles what is published again, once for each new toolkit: a fix in it must reach old policies, too."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from policy_server.model.cache import RESERVED, CacheKey
from policy_server.model.errors import (
    PolicyNotFound,
    PublishError,
    StoreUnavailable,
    ToolkitError,
    ToolkitMissing,
    ValueNotFound,
)
from policy_server.model.policy import PolicyFilter, PolicyId
from policy_server.ports import Clock, Store
from policy_server.publishing.standing import records

ACTOR: Final = "upgrade"
_KNOWN: Final = CacheKey("toolkits", f"{RESERVED}renewal", "")
_KEPT: Final = 50
_AGAIN: Final = 60.0
_FIRST: Final = 5.0

log = logging.getLogger(__name__)


class Recompiler(Protocol):
    """Compiles an active revision anew."""

    def recompile(self, policy: PolicyId, *, actor: str) -> bool:
        """Publish what the compiler makes of the active source now; False when that is the same as before."""


class Renewal:
    """Remembers in the store which toolkits the policies were compiled with.

    Only a toolkit that was never seen is a reason: while servers of two releases share
    a store, the older one must not turn back what the newer one did.
    """

    def __init__(
        self, store: Store, publisher: Recompiler, identity: Callable[[], str], clock: Clock, *, shipped: str
    ) -> None:
        """Take the collaborators; ``identity`` tells toolkits apart.

        ``shipped`` is the origin of policies whose modules come with the product.
        """
        self._store = store
        self._publisher = publisher
        self._identity = identity
        self._clock = clock
        self._shipped = shipped

    def run(self, halt: threading.Event) -> None:
        """Do it once, or try again every minute until it could be done."""
        halt.wait(_FIRST)  # a start has better to do than to read the toolkit
        while not halt.is_set():
            try:
                self.renew(halt)
                halt.wait()
            except (StoreUnavailable, ToolkitError) as error:
                level = logging.INFO if isinstance(error, ToolkitMissing) else logging.WARNING
                log.log(level, "policies are not compiled again: %s", error.message, extra={"action": "renewal.failed"})
                halt.wait(_AGAIN)

    def renew(self, halt: threading.Event) -> int:
        """Compile everything anew if this toolkit is new here; return how many policies have another module now.

        What the new toolkit refuses goes on with the module it has.

        Raises:
            StoreUnavailable, ToolkitError: it is begun again the next time.
        """
        identity, known = self._identity(), self._known()
        if identity in known:
            return 0
        changed = 0
        for policy in self._policies():
            if halt.is_set():
                return changed
            changed += self._recompile(policy)
        self._store.cache.put(_KNOWN, [*known, identity][-_KEPT:], until=None)
        if changed:
            log.info("%d policies were compiled again by a new toolkit", changed, extra={"action": "renewal.done"})
        return changed

    def _recompile(self, policy: PolicyId) -> bool:
        try:
            return self._publisher.recompile(policy, actor=ACTOR)
        except PolicyNotFound:
            return False  # it was deleted meanwhile
        except PublishError as error:
            log.warning(
                "%s keeps its module, because the new toolkit refuses it: %s",
                policy,
                error.message,
                extra={"action": "renewal.refused", "policy": str(policy)},
            )
            return False

    def _known(self) -> Sequence[str]:
        try:
            known = self._store.cache.get(_KNOWN, at=self._clock())
        except ValueNotFound:
            return ()
        return [str(each) for each in known] if isinstance(known, list) else ()

    def _policies(self) -> Iterator[PolicyId]:
        for record in records(self._store, PolicyFilter()):
            if record.revision is not None and record.revision.source.origin != self._shipped:
                yield record.id
