"""Choose a store by its URL."""

from typing import TYPE_CHECKING, Final

from policy_server.model.errors import SettingsError
from policy_server.ports import Store
from policy_server.storage.listing import KEEP
from policy_server.storage.memory import MemoryStore
from policy_server.storage.sql import SQLITE, SqlStore

if TYPE_CHECKING:
    from policy_server.storage.mongodb import MongoStore

MEMORY: Final = "memory:"
POSTGRESQL: Final = ("postgresql://", "postgres://")
MONGODB: Final = ("mongodb://", "mongodb+srv://")


def open_store(url: str, *, keep: int = KEEP) -> Store:
    """Return the store for ``memory:``, ``sqlite:///path``, ``postgresql://…`` or ``mongodb://…``; else SettingsError.

    ``keep`` revisions of each policy stay. A database is made or upgraded here, safely when several processes begin at
    once; StoreUnavailable when that cannot be. No connection is left open.
    """
    if url == MEMORY:
        return MemoryStore(keep=keep)
    if url.startswith((SQLITE, *POSTGRESQL)):
        return _ready(_sql_store(url, keep))
    if url.startswith(MONGODB):
        return _ready(_mongo_store(url, keep))
    # SECURITY: what follows the scheme may hold a password and is not repeated.
    scheme, colon, _ = url.partition(":")
    named = f"{scheme + colon!r} is" if colon else "A storage URL without a scheme is"
    raise SettingsError(
        f"{named} not a known storage; there are {MEMORY}, {SQLITE}path, {POSTGRESQL[0]}… and {MONGODB[0]}…."
    )


def _sql_store(url: str, keep: int) -> SqlStore:
    try:
        return SqlStore(url, keep=keep)
    except ImportError as error:
        raise SettingsError("PostgreSQL needs a driver; install: policy-server[postgresql]") from error


def _mongo_store(url: str, keep: int) -> "MongoStore":
    try:
        from policy_server.storage.mongodb import MongoStore  # noqa: PLC0415 - the driver is an extra
    except ImportError as error:
        raise SettingsError("MongoDB needs a driver; install: policy-server[mongodb]") from error
    return MongoStore(url, keep=keep)


def _ready(store: "SqlStore | MongoStore") -> Store:
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store
