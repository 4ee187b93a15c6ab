"""The committed lists of cases that do not pass, each with its reason."""

import json
from collections.abc import Mapping
from pathlib import Path

_DIRECTORY = Path(__file__).resolve().parents[1]

Known = Mapping[str, str]
"""Reasons by the case's name."""


def file(semantics: str) -> Path:
    """Return where the list for ``exact`` or ``fast`` is."""
    return _DIRECTORY / f"known-{semantics}.json"


def read(path: Path) -> Known:
    """Read the list: cases grouped by reason."""
    grouped: dict[str, list[str]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return {name: reason for reason, names in grouped.items() for name in names}


def write(known: Known, path: Path) -> None:
    """Write the list, sorted, so that a change shows as the lines it concerns."""
    grouped: dict[str, list[str]] = {}
    for name, reason in sorted(known.items()):
        grouped.setdefault(reason, []).append(name)
    path.write_text(json.dumps(dict(sorted(grouped.items())), indent=2, ensure_ascii=False) + "\n", "utf-8")


def renewed(known: Known, ran: Mapping[str, bool]) -> Known:
    """Return the list as it has to be after a run that tells for each case whether it passed.

    Reasons are kept; new cases get an empty one, which a test refuses, for somebody to write.
    Cases that did not run stay as they are.
    """
    kept = {name: reason for name, reason in known.items() if not ran.get(name, False)}
    return kept | {name: "" for name, passed in ran.items() if not passed and name not in kept}
