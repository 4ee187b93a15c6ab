"""What every place for records has in common."""

from collections.abc import Sequence
from typing import Protocol

from policy_server.model.logged import LoggedDecision

BATCH = 200
"""How many records are written at a time."""


class Unwritten(Exception):
    """Records could not be written; never leaves this room. ``final``: trying again is of no use."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        """Say why, without secrets, and whether there is any use in another attempt."""
        super().__init__(message)
        self.message = message
        self.final = final


class Sink(Protocol):
    """A place for records; used by one thread."""

    name: str

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Write records, at most BATCH, all of them or Unwritten; the same ones may come again after an error."""

    def close(self) -> None:
        """Give back what is open; the next write opens it again."""
