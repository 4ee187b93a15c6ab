"""Room for the counts of a worker, taken before anything is counted.

prometheus_client keeps them in files that are mapped into memory and have holes.
When the disk is full, the first count that falls into a hole is a SIGBUS: the
worker dies, and so does each that takes its place.
"""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

SIZE: Final = 1 << 20
"""Bytes of each file; all counts of all routes fit (a test adds them up), so that no file ever grows."""

KINDS: Final = ("counter", "gauge_livesum", "gauge_mostrecent", "histogram")


def reserve(directory: Path, pid: int) -> None:
    """Make the files of this process, without holes; OSError when there is no room, and then none of them."""
    files = [directory / f"{kind}_{pid}.db" for kind in KINDS]
    try:
        for file in files:
            file.write_bytes(bytes(SIZE))
    except OSError:
        for file in files:
            with suppress(OSError):
                file.unlink()
        raise


def trim(directory: Path, pid: int) -> None:
    """Give back what a process that is gone did not use; what it counted goes on counting."""
    for file in (directory / f"{kind}_{pid}.db" for kind in KINDS):
        with suppress(OSError, struct.error), file.open("r+b") as content:
            used = struct.unpack("i", content.read(4))[0]
            content.truncate(used) if used else file.unlink()


def keep_in_memory() -> None:
    """Let this process count for itself only; nobody sees its counts, and it lives."""
    from prometheus_client import values  # noqa: PLC0415 - where it keeps counts is decided when it is imported

    values.ValueClass = values.MutexValue
