"""Say in one sentence what is wrong with a database file and how to mend it."""

import errno
import os
import sqlite3
from pathlib import Path


def explain(error: BaseException, path: Path) -> str:
    """Explain an error of the SQLite library."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(path)
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return f"{path} does not have the tables of this version; run: policy-server db upgrade"
    advice = {
        sqlite3.SQLITE_FULL: "cannot grow, the disk is full; free some space on it.",
        sqlite3.SQLITE_READONLY: "cannot be written; let this user write the file and its directory.",
        sqlite3.SQLITE_PERM: "cannot be opened; let this user read and write the file and its directory.",
        sqlite3.SQLITE_AUTH: "cannot be opened; let this user read and write the file and its directory.",
        sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup, or move it away to start empty.",
        sqlite3.SQLITE_NOTADB: "is not a database; restore it from a backup, or move it away to start empty.",
        sqlite3.SQLITE_BUSY: "was kept busy by another process for too long; look for one that hangs.",
        sqlite3.SQLITE_LOCKED: "was kept busy by another process for too long; look for one that hangs.",
        sqlite3.SQLITE_IOERR: "could not be read or written; check its disk, quota and file-size limits.",
        sqlite3.SQLITE_TOOBIG: "cannot keep a document of this size; make it smaller.",
    }.get(code)
    if advice is None:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        advice = f"refused an operation ({name}); check the file with: sqlite3 {path.name} 'pragma integrity_check'"
    return f"{path} {advice}"


def explain_os(error: OSError, path: Path) -> str:
    """Explain why the file or its directory could not be made or looked at."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path} cannot be made, the disk is full; free some space on it."
    if error.errno == errno.ENOENT:
        return _cannot_open(path)
    return (
        f"{path} cannot be used ({os.strerror(error.errno or 0)}); "
        "let this user write its directory, or choose another place for the database."
    )


def _cannot_open(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a directory; choose a file for the database."
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"There is no database {path}; make one with: policy-server db upgrade"
    except OSError:
        pass
    return f"{path} cannot be opened; let this user read and write the file and its directory."
