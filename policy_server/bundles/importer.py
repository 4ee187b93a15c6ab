"""Takes signed bundles in: verify, check who may write what, publish, lock.

Nothing is written before the signature is good and the signer may write the
policy. An import never unlocks, and everything goes through the publisher.
"""

import logging
from collections.abc import Callable
from typing import Final

from policy_server.bundles.incoming import open_incoming
from policy_server.bundles.trust import Trust
from policy_server.model.bundle import Imported, Voucher
from policy_server.model.errors import AlreadyLocked, ForeignPolicy, ManagedElsewhere
from policy_server.model.policy import PolicyFilter, PolicyId, PolicyRecord, PolicySource
from policy_server.ports import Clock, Publisher, Store
from policy_server.publishing.checks import check_source, tidy
from policy_server.publishing.locks import PolicyLocks
from policy_server.publishing.standing import record_of, records, stamp_of

ORIGIN: Final = "import:"
"""How the origin of an imported policy begins; its signer's name follows."""

log = logging.getLogger(__name__)


class Importer:
    """Imports bundles.

    ``rehearse`` compiles a source and loads it, without writing; a policy that
    is new here is rehearsed first, so that a bundle that cannot be published leaves nothing behind. ``managed`` says
    where a policy is edited when that is neither here nor where bundles come from.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        trust: Trust,
        clock: Clock,
        *,
        rehearse: Callable[[PolicySource], None],
        managed: Callable[[PolicyId], str | None],
    ) -> None:
        """Take the collaborators; nothing is read yet."""
        self._store = store
        self._publisher = publisher
        self._trust = trust
        self._locks = PolicyLocks(store, clock)
        self._rehearse = rehearse
        self._managed = managed

    def bring(
        self,
        content: bytes,
        *,
        author: str | None = None,
        permit: Callable[[PolicyId], None] | None = None,
        named: PolicyId | None = None,
    ) -> Imported:
        """Import one bundle; the same bundle again changes nothing.

        ``author`` is who sent it; without one, as on a schedule, the signer
        answers for it. Whose policy it is depends on the signer alone. ``permit``
        raises Forbidden when the author may not publish the policy; it is asked once the signature is good.
        ``named`` says which policy an OPA bundle is, where its manifest does not.

        Raises:
            InputError: the bundle's name is missing, or is another one.
            NotABundle, InvalidBundle: the bytes are no bundle.
            BundleUnverified: nobody who is trusted has signed it.
            BrokenBundle: signed, but no policy can be made of it.
            ManagedElsewhere: it is a policy of a folder or a Git repository.
            ForeignPolicy: its signer may not write that policy.
            PublishError: the policy does not compile, or its files do not fit; the last good revision stays.
        """
        bundle = open_incoming(content, named=named)
        voucher = self._trust.vouch(bundle)
        source = tidy(bundle.source(origin=f"{ORIGIN}{voucher.name}"))
        by = source.origin if author is None else author
        before = record_of(self._store, source.id)
        if permit is not None:
            permit(source.id)
        where = self._managed(source.id)
        if where is not None:
            raise ManagedElsewhere(f"{source.id} comes from {where}, and is edited there.")
        self._check_owner(source, voucher, before)
        if before is None:
            check_source(source)
            self._rehearse(source)
        elif bundle.locked:
            self._lock(source.id, by)

        def check_again(now: PolicyRecord | None) -> None:
            # Compiling takes time, in which others write. Who owns what has not changed takes time to find out, too.
            if stamp_of(now) != stamp_of(before):
                self._check_owner(source, voucher, now)

        # Together: between the two a new policy would answer, and a crash would leave it unlocked.
        revision = self._publisher.publish(source, author=by, condition=check_again, locked=bundle.locked)
        if bundle.locked:  # also when somebody else had published the same in the meantime
            self._lock(source.id, by)
        known = before is not None and before.revision == revision
        fields = {"action": "bundle.imported", "policy": str(source.id), "author": by}
        # An import on a schedule mostly brings what is there already.
        log.log(
            logging.DEBUG if known else logging.INFO,
            "%s: imported, signed by %s",
            source.id,
            voucher.name,
            extra=fields,
        )
        locked = self._store.get(source.id).locked
        return Imported(source.id, locked, bundle.last_update, voucher.name)

    def _check_owner(self, source: PolicySource, voucher: Voucher, before: PolicyRecord | None) -> None:
        """Refuse to write where others do; ForeignPolicy."""
        repository = source.id.repository
        if voucher.repositories:
            if repository not in voucher.repositories:
                raise ForeignPolicy(f"{voucher.name} may not write the repository {repository}.")
            return
        if before is not None and _origin(before) != source.origin:
            raise ForeignPolicy(
                f"{source.id} was not imported from {voucher.name}; list the repository {repository} for that signer "
                "to let its bundles replace it."
            )
        if before is None and (other := self._not_imported(repository)) is not None:
            raise ForeignPolicy(
                f"The repository {repository} has policies of others, such as {other}; list it for {voucher.name} "
                "to let its bundles write there."
            )

    def _not_imported(self, repository: str) -> PolicyId | None:
        """Return a policy of the repository that was written by other means than imports."""
        there = records(self._store, PolicyFilter(repository=repository))
        return next((record.id for record in there if not _origin(record).startswith(ORIGIN)), None)

    def _lock(self, policy: PolicyId, actor: str) -> None:
        try:
            self._locks.lock(policy, actor=actor)
        except AlreadyLocked:
            return


def _origin(record: PolicyRecord) -> str:
    return "" if record.revision is None else record.revision.source.origin
