"""Shows what is different between two revisions."""

import difflib
from dataclasses import dataclass
from typing import Final

import msgspec

from policy_server.model.policy import Revision
from policy_server.publishing.digest import DATA, REGO, parts

LARGEST: Final = 512 << 10
"""A part with more characters, in either revision, is only said to differ."""

MOST_LINES: Final = 10_000
"""So is one with more lines: comparing takes time that grows with their square."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part that differs; ``diff`` is a unified diff, None when the part is too large to compare."""

    part: str
    diff: str | None


def differences(old: Revision, new: Revision) -> tuple[Difference, ...]:
    """Compare the files of two revisions, with the data they answer with.

    JSON is laid out anew first, one member a line, so that the diff tells values apart and not layout.
    """
    one, other = _files(old), _files(new)
    return tuple(
        Difference(part, _diff(part, old.number, one[part], new.number, other[part]))
        for part in one
        if one[part] != other[part]
    )


def _files(revision: Revision) -> dict[str, str | None]:
    return {**parts(revision.source), DATA: revision.data}


def _diff(part: str, old: int, one: str | None, new: int, other: str | None) -> str | None:
    texts = (one or "", other or "")
    if any(len(text) > LARGEST for text in texts):
        return None
    before, after = (_lines(part, text) for text in texts)
    if max(len(before), len(after)) > MOST_LINES:
        return None
    if before == after:  # the same values, laid out differently
        before, after = (text.splitlines() for text in texts)
    lines = difflib.unified_diff(before, after, f"{part} (revision {old})", f"{part} (revision {new})", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(part: str, text: str) -> list[str]:
    if part != REGO and text:
        text = msgspec.json.format(text, indent=2)
    return text.splitlines()
