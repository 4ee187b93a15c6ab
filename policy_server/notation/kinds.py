"""What a kind of value is, and the two readers that others begin with.

A reader takes what a file, a variable or a flag gave (text, or what TOML makes
of it) and returns the value. It raises ValueError with the rest of a sentence
that begins "must be".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: what the reference says about it, and its reader."""

    says: str
    read: Callable[[object], T]

    def then(self, make: Callable[[T], U]) -> "Kind[U]":
        """Return a kind that is written the same and makes something else of what was read."""
        return Kind(self.says, lambda value: make(self.read(value)))


def as_text(value: object) -> str:
    """Take a text or a path, without the spaces around it."""
    if isinstance(value, str | Path):
        return str(value).strip()
    raise ValueError("text")


def items(value: object) -> Sequence[str]:
    """Split ``a, b`` or take a TOML list of texts."""
    if isinstance(value, str):
        return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return [str(part).strip() for part in value if str(part).strip()]
    raise ValueError("a list")
