"""Choose a store by its URL."""

from typing import Final

from policy_server.model.errors import SettingsError
from policy_server.ports import Store
from policy_server.storage.listing import KEEP
from policy_server.storage.memory import MemoryStore
from policy_server.storage.sql import SQLITE, SqlStore

MEMORY: Final = "memory:"
POSTGRESQL: Final = ("postgresql://", "postgres://")


def open_store(url: str, *, keep: int = KEEP) -> Store:
    """Return the store for ``memory:``, ``sqlite:///path`` or ``postgresql://…``; other schemes: SettingsError.

    ``keep`` revisions of each policy stay. A database is made or upgraded here, safely when several processes begin at
    once; StoreUnavailable when that cannot be. No connection is left open.
    """
    if url == MEMORY:
        return MemoryStore(keep=keep)
    if url.startswith((SQLITE, *POSTGRESQL)):
        store = _sql_store(url, keep)
        store.migrate()
        return store
    # SECURITY: what follows the scheme may hold a password and is not repeated.
    scheme, colon, _ = url.partition(":")
    named = f"{scheme + colon!r} is" if colon else "A storage URL without a scheme is"
    raise SettingsError(f"{named} not a known storage; there are {MEMORY}, {SQLITE}path and {POSTGRESQL[0]}….")


def _sql_store(url: str, keep: int) -> SqlStore:
    try:
        return SqlStore(url, keep=keep)
    except ImportError as error:
        raise SettingsError("PostgreSQL needs a driver; install: policy-server[postgresql]") from error
