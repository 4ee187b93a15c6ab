"""What a command did, for tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str
