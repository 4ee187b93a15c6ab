"""What is typed into a session: when it is complete, and what it means."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_SKIPPED: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
"""Strings and comments, in which brackets mean nothing."""

_GOES_ON: Final = re.compile(r"(?::=|=|,|\||\b(?:if|in|contains|else|default))\s*$")
ARGUMENTS: Final = r'\((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^")`])*\)'
"""Matches the arguments of a function that is being defined."""

_RULE: Final = re.compile(
    rf"(?:default\s+)?[A-Za-z_]\w*(?:\.\w+|\[[^\]]*\])*(?:{ARGUMENTS})?\s*(?::=|\{{|\bif\b|\bcontains\b)"
    r"|(?:default\s+)?[A-Za-z_]\w*\s*=(?!=)"
)
_SETTING: Final = re.compile(r"(input|data)\s*:?=(?!=)\s*(.+)", re.DOTALL)
_COMMAND: Final = re.compile(r":(\w+)\s*(.*)", re.DOTALL)
_WORDS: Final = {"help": "help", "?": "help", "quit": "quit", "exit": "quit"}


class Kind(Enum):
    """What a statement does."""

    NOTHING = "nothing"
    COMMAND = "command"
    PACKAGE = "package"
    IMPORT = "import"
    SETTING = "setting"
    RULE = "rule"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Statement:
    """What was typed. ``name`` is the command, or which document is set; ``text`` the rest, or all of it.

    A RULE may still be a query (``x = 1; y = 2``): only OPA's parser knows.
    """

    kind: Kind
    text: str
    name: str = ""


def is_open(text: str) -> bool:
    """Tell whether a statement goes on in the next line: a bracket or a string is open, or an operator ends it."""
    bare = _SKIPPED.sub("_", text)
    if "`" in bare:
        return True
    depth = sum(bare.count(each) for each in "([{") - sum(bare.count(each) for each in ")]}")
    return depth > 0 or _GOES_ON.search(bare) is not None


def _is_several(text: str) -> bool:
    # A semicolon in brackets belongs to a comprehension.
    depth = 0
    for letter in _SKIPPED.sub("_", text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == ";" and depth == 0:
            return True
    return False


def read(text: str) -> Statement:
    """Say what a complete statement means."""
    text = text.strip()
    first, _, rest = text.partition(" ")
    bare = _SKIPPED.sub("", text).strip()
    if not bare:
        return Statement(Kind.QUERY, text) if text and not text.startswith("#") else Statement(Kind.NOTHING, "")
    if text in _WORDS:
        return Statement(Kind.COMMAND, "", _WORDS[text])
    if found := _COMMAND.fullmatch(text):
        return Statement(Kind.COMMAND, found[2].strip(), found[1])
    if first in {"package", "import"} and rest.strip():
        return Statement(Kind(first), rest.strip())
    if (found := _SETTING.fullmatch(text)) and not _is_several(text):
        return Statement(Kind.SETTING, found[2], found[1])
    return Statement(Kind.RULE if _RULE.match(text) else Kind.QUERY, text)
