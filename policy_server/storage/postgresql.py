"""One PostgreSQL database: opened late, never carried over a fork, never waited for without end."""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError, StatementError

from policy_server.model.errors import InvalidParameter, PolicyServerError, SettingsError, StoreUnavailable
from policy_server.storage.forks import FORKS

_STAMP: Final = b"SELECT stamp FROM stamps WHERE id = 1"
_TURN: Final = "SELECT stamp FROM stamps WHERE id = 1 FOR UPDATE"
_MIGRATING: Final = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.policy-server', 0))"
_GLANCE: Final = 1.0
"""How long the answer to ``stamp`` is waited for, in seconds."""

# A server that is gone is noticed by TCP; one that is busy, by the server itself. What hangs in the middle of a
# transaction, a stopped process for example, loses its turn to write after a minute. Who waited for a turn must see
# what the one before wrote, also where the database's own default is stricter: there the second would be refused.
_SESSION: Final = (
    "SET lock_timeout = '30s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET default_transaction_isolation = 'read committed'"
)
_TCP: Final = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class PostgresServer:
    """Opens connections to one database; safe for threads, processes and forks."""

    def __init__(self, url: str) -> None:
        """Take ``postgresql://…`` as libpq understands it; SettingsError when it does not."""
        try:
            self._parts = {**_TCP, "application_name": "policy-server", **conninfo_to_dict(url)}
        except psycopg.Error:
            # SECURITY: libpq repeats the address, and a password may be in it.
            raise SettingsError("The URL of a PostgreSQL store is postgresql://user@host:port/database.") from None
        host, port = self._parts.get("host", "localhost"), self._parts.get("port", 5432)
        self.place = f"PostgreSQL {host}:{port}/{self._parts.get('dbname', self._parts.get('user', ''))}"
        self._forget()

    def _forget(self) -> None:
        """Start as if nothing had ever been opened."""
        self._opening = threading.Lock()
        self._asking = threading.Lock()
        self._engine: Engine | None = None
        self._asker: psycopg.Connection[tuple[object, ...]] | None = None
        self._watched = False

    # ---- what stores use

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._explained(), self._pool().connect() as plain:
            connection = plain.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that nobody else writes beside; committed at the end.

        Writers take turns at the row that holds the stamp, so that stamps become visible in their order.
        """
        with self._explained(), self._pool().connect() as connection, connection.begin():
            connection.exec_driver_sql(_TURN)
            yield connection

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """Open a transaction for a single statement; the server keeps those apart by itself."""
        with self._explained(), self._pool().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Open a transaction in which tables may be rebuilt; processes that migrate at once wait for each other."""
        with self._explained(), self._pool().connect() as connection, connection.begin():
            connection.exec_driver_sql(_MIGRATING)
            yield connection

    def stamp(self) -> int:
        """Return the stamp as committed now; StoreUnavailable after a second without an answer."""
        if not self._asking.acquire(timeout=_GLANCE):
            raise self._silent()
        try:
            for fresh in (False, True):
                try:
                    return self._ask()
                except psycopg.Error as error:
                    self._drop_asker()
                    # A connection that was idle may have died with a server that is back by now.
                    if fresh or not isinstance(error, psycopg.OperationalError):
                        raise self._explain(error) from error
        finally:
            self._asking.release()
        raise self._silent()

    def check(self) -> None:
        """Do nothing: a server that was exchanged is noticed by its tables."""

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._opening:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()
        with self._asking:
            self._drop_asker()

    # ---- forks

    def before_fork(self) -> None:
        """Do nothing: the connections of a server may stay open, as long as only one process uses them."""

    def after_fork(self, *, child: bool) -> None:
        """Leave everything to the parent; a child opens its own."""
        if child:
            # Kept for ever: closing them here would end the parent's sessions.
            self._inherited = (self._engine, self._asker)
            self._forget()

    # ---- opening

    def _pool(self) -> Engine:
        engine = self._engine
        if engine is None:
            self._watch()
            with self._opening:
                if self._engine is None:
                    # SECURITY: hide_parameters keeps data documents, which may hold PINs, out of error texts.
                    self._engine = create_engine(
                        "postgresql+psycopg://",
                        creator=self._connect,
                        pool_pre_ping=True,
                        pool_size=2,
                        max_overflow=14,
                        pool_timeout=10,
                        hide_parameters=True,
                    )
                engine = self._engine
        return engine

    def _watch(self) -> None:
        if not self._watched:
            FORKS.watch(self)
            self._watched = True

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        connection = psycopg.connect(**self._parts, autocommit=True)  # type: ignore[arg-type] # what libpq read
        try:
            connection.execute(_SESSION)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    # ---- the stamp

    def _ask(self) -> int:
        """Ask on a connection of its own, by hand: the driver would wait for ever."""
        # PERF: 10 µs on loopback; through the pool it would be some hundred. Asked before every evaluation.
        if self._asker is None:
            self._watch()
            self._asker = self._connect()
            self._asker.autocommit = True
            _check(self._asker.pgconn.prepare(b"stamp", _STAMP))
        server = self._asker.pgconn
        server.send_query_prepared(b"stamp", None)
        self._wait(server)
        result = _check(server.get_result())
        while server.get_result() is not None:
            pass
        value = result.get_value(0, 0) if result.ntuples else None
        if value is None:
            raise StoreUnavailable(f"{self.place} is not complete; run: policy-server db upgrade")
        return int(value)

    def _wait(self, server: PGconn) -> None:
        """Wait until an answer is complete; StoreUnavailable when that takes too long."""
        until = time.monotonic() + _GLANCE
        poll = select.poll()
        while True:
            unsent = server.flush()
            poll.register(server.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                self._drop_asker()
                raise self._silent()
            server.consume_input()
            if not unsent and not server.is_busy():
                return

    def _drop_asker(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.close()

    # ---- errors

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn every error of the database into one of ours with a sentence that helps."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
            raise self._explain(cause) from cause
        except psycopg.Error as error:
            raise self._explain(error) from error
        except UnicodeEncodeError:
            raise InvalidParameter("Text that is not valid Unicode cannot be kept.") from None

    def _silent(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.place} does not answer in time; look whether the server hangs.")

    def _explain(self, error: BaseException) -> PolicyServerError:
        # SECURITY: the server's own words may repeat values, so only their kind is used.
        code = getattr(error, "sqlstate", None) or ""
        if isinstance(error, UnicodeEncodeError):
            return InvalidParameter("Text that is not valid Unicode cannot be kept.")
        if code == "54000":
            return InvalidParameter("A part of an id is too long for PostgreSQL; 600 bytes are fine.")
        if isinstance(error, errors.DataError):
            return InvalidParameter("PostgreSQL cannot keep text with a NUL character, or a number of this size.")
        return StoreUnavailable(f"{self.place} {_advice(error, code)}")


def _check(result: PGresult | None) -> PGresult:
    """Return a result that is one; what the server refused is raised as the driver would."""
    if result is None:
        raise psycopg.OperationalError
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        code = result.error_field(DiagnosticField.SQLSTATE) or b""
        raise errors.lookup(code.decode()) if code else psycopg.OperationalError
    return result


_ADVICE: Final = {
    "42P01": "does not have the tables of this version; run: policy-server db upgrade",
    "42703": "does not have the tables of this version; run: policy-server db upgrade",
    "42501": "does not let this user do that; make it the owner of the schema.",
    "3F000": "has no schema to make tables in; create the one that search_path names.",
    "25006": "is read-only; name the primary server.",
    "53100": "cannot grow, the disk is full; free some space on it.",
    "53300": "has no connection left; raise max_connections, or run fewer workers.",
    "55P03": "was kept busy by another process for too long; look for one that hangs.",
    "57014": "was kept busy by another process for too long; look for one that hangs.",
}
_REFUSALS: Final = {
    "password authentication failed": "refuses this user or password; check both.",
    "no password supplied": "wants a password; put it into the URL (POLICY_STORAGE_URL_FILE may name a file).",
    "no pg_hba.conf entry": "does not let this user in from here; see its pg_hba.conf.",
    "does not exist": "has no such user or database; create it first.",
    "too many clients": _ADVICE["53300"],
    "remaining connection slots": _ADVICE["53300"],
    "starting up": "is starting up; try again in a moment.",
}


def _advice(error: BaseException, code: str) -> str:
    if code in _ADVICE:
        return _ADVICE[code]
    said = str(error)
    for words, advice in _REFUSALS.items():
        if words in said:
            return advice
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "cannot be reached; is the server running, and do address and port fit?"
    return f"refused an operation ({code or type(error).__name__}); its log says why."
