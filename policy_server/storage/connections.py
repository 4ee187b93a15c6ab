"""What gives the SQL store its connections: a file or a server."""

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Database(Protocol):
    """What gives connections: a file or a server. Everything raises StoreUnavailable, InvalidParameter."""

    @property
    def place(self) -> str:
        """Where it is, without secrets."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one state of the database."""

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that nobody else writes beside; committed at the end."""

    def noting(self) -> AbstractContextManager[Connection]:
        """Open a transaction for a single statement that does not count as a change of a policy."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """Open a transaction in which tables may be made; those who migrate at once wait for each other."""

    def stamp(self) -> int:
        """Return the stamp as committed now, or raise soon."""

    def check(self) -> None:
        """Prove that this is still the database that was opened."""

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
