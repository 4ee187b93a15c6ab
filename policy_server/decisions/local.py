"""Writes records on this machine: to the log's stream, or to a file of JSON lines."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from policy_server.decisions.config import FILE, LOG
from policy_server.decisions.sink import Unwritten
from policy_server.model.logged import LoggedDecision

_HEAD: Final = '{"logger":"decision",'
_OPEN: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LogSink:
    """Writes one JSON line a record to the logger ``decision``."""

    def __init__(self) -> None:
        """Find the logger; logs.py sets it up."""
        self.name = LOG
        self._logger = logging.getLogger("decision")

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Write the lines; ``logger`` tells them from other lines of the stream."""
        for record in records:
            self._logger.info("%s", _HEAD + record.body[1:])

    def close(self) -> None:
        """Do nothing; the stream is not ours."""


class FileSink:
    """Appends JSON lines to a file, which others may move or remove at any time: it is made again.

    Several processes may write the same file; the lines of one call are written at once.
    """

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is opened."""
        self.name = f"{FILE}{path}"
        self._path = path
        self._file: int | None = None
        self._torn = False

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Append the lines; Unwritten when the file cannot be opened or written."""
        lines = "".join(f"{record.body}\n" for record in records).encode()
        try:
            file = self._open()
            if self._torn:
                # An attempt ended within a line; what follows must not be joined to it.
                lines = b"\n" + lines
            written = os.write(file, lines)
            while written < len(lines):
                self._torn = True
                written += os.write(file, lines[written:])
        except OSError as error:
            raise Unwritten(f"{error.strerror}") from error
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """Return the file at the path, opened anew when it is not the one that is open any more."""
        if self._file is not None and not self._is_current(self._file):
            self.close()
        if self._file is None:
            self._file = os.open(self._path, _OPEN, 0o600)
            self._torn = False
        return self._file

    def _is_current(self, file: int) -> bool:
        ours = os.fstat(file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
