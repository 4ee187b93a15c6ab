"""Trusts keys and no longer trusts them, on record."""

from dataclasses import replace

from policy_server.audit.journal import Journal, entitled
from policy_server.model.access import TrustedKey
from policy_server.model.errors import KeyNotFound
from policy_server.ports import Clock, Store


class PinnedKeys:
    """The door for whoever decides which keys of the store are trusted; ``Trust`` asks the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take the store."""
        self._store = store
        self._journal = Journal(store.audit, clock)

    def trust(self, key: TrustedKey) -> None:
        """Keep a key, or replace the one with its id; StoreUnavailable. The same again changes nothing."""
        known = self._known(key.id)
        if known is not None and replace(known, created_at=key.created_at, created_by=key.created_by) == key:
            return
        before = None if known is None else _rights(known)
        with self._journal.change(
            "trust-key", f"key/{key.id}", actor=key.created_by, before=before, after=_rights(key)
        ):
            self._store.keys.save(key)

    def distrust(self, key: str, *, by: str) -> None:
        """Forget a key; KeyNotFound, StoreUnavailable."""
        known = self._store.keys.get(key)
        with self._journal.change("distrust-key", f"key/{known.id}", actor=by, before=_rights(known)):
            self._store.keys.remove(known.id)

    def _known(self, key: str) -> TrustedKey | None:
        try:
            return self._store.keys.get(key)
        except KeyNotFound:
            return None


def _rights(key: TrustedKey) -> str:
    return entitled(key.name, key.repositories, key.expires_at)
