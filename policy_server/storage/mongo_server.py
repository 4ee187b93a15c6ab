"""One MongoDB database: its client is made late, never carried over a fork, and never waited for without end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import pymongo
from bson.errors import BSONError, InvalidStringData
from pymongo import MongoClient, errors
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from policy_server.model.errors import InvalidParameter, PolicyServerError, SettingsError, StoreUnavailable
from policy_server.storage.forks import FORKS

Document = dict[str, Any]
"""What BSON holds; every reader says what it expects."""

GLANCE: Final = 1.0
"""How long the answer to ``stamp`` is waited for, in seconds."""

DUPLICATE: Final = 11000
"""The server's code for an id that is there already."""

_LIMITS: Final[dict[str, Any]] = {
    "appname": "policy-server",
    "serverSelectionTimeoutMS": 3000,
    "connectTimeoutMS": 3000,
    "socketTimeoutMS": 20000,
    "maxIdleTimeMS": 300000,
}
# A change that was acknowledged survives the loss of a minority of servers, and nobody reads one that might not.
_PROMISES: Final[dict[str, Any]] = {"w": "majority", "wtimeoutMS": 15000, "readConcernLevel": "majority"}


_ROUTERS: Final = frozenset({"Mongos", "LoadBalancer"})


class MongoServer:
    """Gives the collections of one database; safe for threads, processes and forks."""

    def __init__(self, url: str) -> None:
        """Take ``mongodb://…/database``; ``collection=`` in it names the one of policies. Else SettingsError."""
        self._url, self._policies = _without_collection(url)
        try:
            parts = parse_uri(self._url, validate=True, warn=False) if not self._url.startswith("mongodb+srv") else None
        except (errors.PyMongoError, ValueError):
            # SECURITY: the driver repeats the address, and a password may be in it.
            raise SettingsError("The URL of a MongoDB store is mongodb://user:password@host:port/database.") from None
        except OSError as error:
            raise SettingsError(
                f"{error.filename}, which the URL of the MongoDB store names, cannot be read."
            ) from error
        self._given = {name.lower() for name in parts["options"]} if parts else set()
        self._name = (parts["database"] if parts else None) or "policy"
        hosts = self._url.rpartition("@")[2].partition("://")[2] or self._url.rpartition("@")[2]
        self.place = f"MongoDB {hosts.partition('?')[0].partition('/')[0]}/{self._name}"
        self._forget()

    def _forget(self) -> None:
        """Start as if nothing had ever been opened."""
        self._opening = threading.Lock()
        self._client: MongoClient[Document] | None = None

    @property
    def policies(self) -> Collection[Document]:
        """The collection that the original service has as well."""
        return self.database[self._policies]

    def collection(self, name: str) -> Collection[Document]:
        """Return a collection by its name."""
        return self.database[name]

    @property
    def database(self) -> Database[Document]:
        """The database; a client is made when there is none."""
        client = self._client
        if client is None:
            with self._opening:
                if self._client is None:
                    FORKS.watch(self)
                    self._client = self._connect()
                client = self._client
        return client[self._name]

    def has_streams(self) -> bool:
        """Tell whether this deployment has change streams: replica sets and sharded clusters have.

        The servers are looked at, not the topology: a direct connection to a member of a replica set has them too.
        """
        client = self.database.client
        client.admin.command("ping")
        servers = client.topology_description.server_descriptions().values()
        return any(each.replica_set_name or each.server_type_name in _ROUTERS for each in servers)

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def before_fork(self) -> None:
        """Do nothing: connections may stay open, as long as only one process uses them."""

    def after_fork(self, *, child: bool) -> None:
        """Leave everything to the parent; a child makes its own client."""
        if child:
            self._inherited = self._client  # kept for ever: closing it here would disturb the parent
            self._forget()

    def _connect(self) -> "MongoClient[Document]":
        options = {name: value for name, value in {**_LIMITS, **_PROMISES}.items() if name.lower() not in self._given}
        try:
            with self.explained():
                return MongoClient(self._url, connect=False, tz_aware=True, **options)
        except OSError as error:  # also what is wrong with certificates and keys
            why = "cannot be used with the certificates that its URL names; are they readable PEM files?"
            raise StoreUnavailable(f"{self.place} {why}") from error

    @contextmanager
    def explained(self, *, within: float | None = None) -> Iterator[None]:
        """Turn every error of the driver into one of ours; give up after ``within`` seconds."""
        try:
            if within is None:
                yield
            else:
                with pymongo.timeout(within):
                    yield
        except errors.PyMongoError as error:
            # SECURITY: the driver's words may repeat addresses and values; only their kind is used.
            raise self._explain(error) from error
        except (UnicodeEncodeError, InvalidStringData):
            raise InvalidParameter("Text that is not valid Unicode cannot be kept.") from None
        except BSONError as error:
            raise StoreUnavailable(f"{self.place} has a document that cannot be read; restore it.") from error

    def _explain(self, error: errors.PyMongoError) -> PolicyServerError:
        if isinstance(error, errors.DocumentTooLarge):
            return InvalidParameter("MongoDB cannot keep a document of this size.")
        return StoreUnavailable(f"{self.place} {_advice(error)}")


def only_duplicates(error: errors.BulkWriteError) -> bool:
    """Tell whether all that is wrong with a bulk is what was there already; a majority has the rest."""
    wrong = error.details["writeErrors"]
    return not error.details["writeConcernErrors"] and all(each["code"] == DUPLICATE for each in wrong)


def _advice(error: errors.PyMongoError) -> str:
    code = error.code if isinstance(error, errors.OperationFailure) else None
    advice = {
        13: "does not let this user do that; give it the role readWrite on the database.",
        18: "refuses this user or password; check both, and authSource.",
        8000: "refuses this user or password; check both, and authSource.",
        DUPLICATE: "has two policies with the same repository, group, name and version; delete one of them.",
        14031: "cannot grow, the disk is full; free some space on it.",
    }.get(code or 0)
    if advice is not None:
        return advice
    if error.timeout:
        return "does not answer in time; look whether it is reachable, has a primary, or hangs."
    if isinstance(error, errors.ConnectionFailure):
        return "cannot be reached; is the server running, and do address and port fit?"
    if isinstance(error, errors.ConfigurationError):
        return "cannot be used with these options of its URL; see the driver's documentation."
    return f"refused an operation ({type(error).__name__}{'' if code is None else f' {code}'}); its log says why."


def _without_collection(url: str) -> tuple[str, str]:
    """Take our own option out of the URL; return both."""
    head, _, query = url.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    named = [value for name, value in options if name == "collection" and value]
    rest = [(name, value) for name, value in options if name != "collection"]
    if "/" not in head.partition("://")[2]:
        head += "/"  # options need a slash before them
    return head + (f"?{urlencode(rest)}" if rest else ""), named[-1] if named else "policies"
