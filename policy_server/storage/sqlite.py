"""One SQLite file: made with care, opened late, never carried over a fork."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Pool, create_engine, event
from sqlalchemy.exc import SQLAlchemyError, StatementError
from sqlalchemy.pool import NullPool, QueuePool

from policy_server.model.errors import InvalidParameter, StoreUnavailable
from policy_server.storage.diagnosis import explain, explain_os
from policy_server.storage.forks import FORKS, Gate

_MAKING = threading.Lock()
_STAMP: Final = "SELECT stamp FROM stamps WHERE id = 1"
_FORK_PATIENCE: Final = 10.0
_WAL_TRIES: Final = 600
_GLANCE: Final = 0.02
_READ: Final = 2.0


class _Reader:
    """A thread's own connection for the stamp; closed with the thread."""

    __slots__ = ("__weakref__", "connection", "cursor")

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Keep a fresh connection."""
        self.connection = connection
        self.cursor = connection.cursor()

    def __del__(self) -> None:
        """Close, because nobody else knows when a thread ends."""
        self.connection.close()


class _Thread(threading.local):
    """What belongs to one thread."""

    reader: _Reader | None = None


class SqliteFile:
    """Opens connections to one database file; safe for threads, processes and forks."""

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        """Keep the path; ``patience`` is how many seconds a writer waits for its turn.

        Readers wait for nobody, except while another process repairs the file. Then
        they give up after two seconds, and ``stamp``, which is asked before every
        evaluation, at once: an answer matters more.
        """
        self.path = path.absolute()  # another working directory later is not another database
        self.place = str(self.path)
        self._patience = patience
        self._forget()

    def _forget(self) -> None:
        """Start as if nothing had ever been opened."""
        self._gate = Gate()
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._file: tuple[int, int] | None = None
        self._thread = _Thread()
        self._readers: WeakSet[_Reader] = WeakSet()
        self._watched = False
        self._held: list[_Reader] | None = None
        self._inherited: object = None

    # ---- what stores use

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database."""
        self._watch()
        with self._explained(), self._gate, self._pool().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that nobody else writes beside; committed at the end."""
        self._watch()
        with (
            self._explained(),
            self._gate,
            self._pool().connect().execution_options(writing=True) as connection,
            connection.begin(),
        ):
            yield connection

    noting = writing

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Open a writing transaction in which tables may be rebuilt, on a file that is made when missing.

        Processes that migrate at once wait for each other here. No connection is left open.
        """
        self._watch()
        with self._explained(), self._gate:
            self._make()
            with closing(self._connect(foreign_keys=False, remember=False)) as plain:
                self._use_wal(plain)
            # Rebuilding a table drops the old one; with foreign keys on, that would delete what refers to it.
            engine = self._new_engine(NullPool, lambda: self._connect(foreign_keys=False, remember=False))
            with engine.connect().execution_options(writing=True) as connection, connection.begin():
                yield connection
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise StoreUnavailable(f"The migration of {self.path} was undone: it left dangling rows.")

    def stamp(self) -> int:
        """Return the stamp as committed now."""
        # PERF: 4–5 µs. `PRAGMA data_version` and a cached stamp cost the same 3 µs as the row itself (both are one
        # read transaction), and would not see commits of their own connection: so the row is read.
        if not self._watched:
            self._watch()
        try:
            with self._gate:
                reader = self._thread.reader or self._new_reader()
                row = reader.cursor.execute(_STAMP).fetchone()
        except sqlite3.Error as error:
            self._thread.reader = None
            raise StoreUnavailable(explain(error, self.path)) from error
        if row is None:
            raise StoreUnavailable(f"{self.path} is not complete; run: policy-server db upgrade")
        return int(row[0])

    def check(self) -> None:
        """Raise StoreUnavailable when the path no longer leads to the file that is open."""
        with self._explained():
            self._identify(remember=False)

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        try:
            if self._gate.shut(patience=self._patience):
                self._drop()
        finally:
            self._gate.open()

    # ---- forks

    def before_fork(self) -> None:
        """Close every connection and stay closed."""
        if self._gate.shut(patience=_FORK_PATIENCE):
            self._drop()
        else:
            # The child will end the other threads' locals; held here, their connections are not closed by that.
            self._held = list(self._readers)

    def after_fork(self, *, child: bool) -> None:
        """Go on; a child starts afresh, and refuses when it inherited an open connection."""
        if not child:
            self._held = None
            self._gate.open()
            return
        inherited = None if self._held is None else (self._held, self._engine, self._thread)
        self._forget()
        self._inherited = inherited  # kept for ever: closing them here would disturb the parent

    def _watch(self) -> None:
        """Learn of forks; called outside the gate, or a fork and an opening would wait for each other."""
        if self._inherited is not None:
            raise StoreUnavailable(
                f"This process was forked while {self.path} was in use; close the store before forking."
            )
        if not self._watched:
            FORKS.watch(self)
            self._watched = True

    # ---- opening

    def _make(self) -> None:
        """Make the directory (0700) and the file (0600) when they are missing."""
        # Closing a descriptor of a database file drops SQLite's locks on it in the whole process,
        # so the file is opened here only to create it, and by one thread.
        with _MAKING:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise StoreUnavailable(explain_os(error, self.path)) from error

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch the file to a write-ahead log, in which readers and the writer do not wait for each other."""
        # The switch needs the file for itself for a moment, and does not always wait for that as statements do.
        for left in reversed(range(_WAL_TRIES)):
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            except sqlite3.OperationalError as error:
                if left == 0 or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            else:
                return
            time.sleep(0.05)

    def _pool(self) -> Engine:
        engine = self._engine
        if engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._new_engine(QueuePool, lambda: self._connect(foreign_keys=True, remember=True))
                engine = self._engine
        return engine

    def _new_engine(self, pool: type[Pool], connect: Callable[[], sqlite3.Connection]) -> Engine:
        limits = {"pool_size": 4, "max_overflow": -1} if pool is QueuePool else {}
        # SECURITY: hide_parameters keeps data documents, which may hold PINs, out of error texts.
        engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=pool,
            hide_parameters=True,
            **limits,
        )
        event.listen(engine, "begin", self._begin)
        return engine

    def _begin(self, connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        patience = self._patience if writing else min(_READ, self._patience)
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(patience * 1000)}")
        # A writer queues for its turn at the beginning; upgrading a reader later could fail at once instead.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    def _connect(self, *, foreign_keys: bool, remember: bool, patience: float | None = None) -> sqlite3.Connection:
        # mode=rw: a missing database is an error that says so, never an empty one.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=self._patience if patience is None else patience,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            cursor = connection.cursor()
            # In WAL mode a commit survives kill -9 with NORMAL as well, because the log is already with the kernel.
            # FULL also waits for the disk, so that power loss takes nothing that was acknowledged. Writes are
            # rare here (publish, lock, lease), so that is cheap.
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
            cursor.execute("PRAGMA trusted_schema = OFF")
            cursor.execute("PRAGMA journal_size_limit = 67108864")
            cursor.close()
            if remember:
                self._identify(remember=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _identify(self, *, remember: bool) -> None:
        """Refuse a path that leads to another file than the one that is open: half here, half there is no database."""
        status = self.path.stat()
        found = (status.st_dev, status.st_ino)
        if self._file is None and remember:
            self._file = found
        if self._file not in (None, found):
            raise StoreUnavailable(f"{self.path} was replaced while in use; restart the server.")

    def _new_reader(self) -> _Reader:
        reader = _Reader(self._connect(foreign_keys=True, remember=True, patience=_GLANCE))
        with self._opening:
            self._readers.add(reader)
        self._thread.reader = reader
        return reader

    def _drop(self) -> None:
        """Close everything; the gate is shut and nobody is inside."""
        self._thread = _Thread()
        for reader in list(self._readers):
            reader.connection.close()
        self._readers = WeakSet()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._file = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn every error of the database into StoreUnavailable with a sentence that helps."""
        try:
            yield
        except SQLAlchemyError as error:
            # The driver's own error is the cause: it never carries values, only what went wrong.
            cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
            raise StoreUnavailable(explain(cause, self.path)) from cause
        except sqlite3.Error as error:
            raise StoreUnavailable(explain(error, self.path)) from error
        except OSError as error:
            raise StoreUnavailable(explain_os(error, self.path)) from error
        except UnicodeEncodeError:
            raise InvalidParameter("Text that is not valid Unicode cannot be kept.") from None
