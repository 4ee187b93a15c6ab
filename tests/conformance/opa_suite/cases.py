"""Test cases as tests/conformance/prepare writes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from policy_server.model.policy import Dialect
from policy_server.model.values import JsonObject

BATCH = 100
"""How many cases share a module: compiling is most of the work, and one module costs hardly less than a hundred."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a case expects: exactly one of ``defined``, ``result``, and an error by text or code."""

    defined: bool | None
    result: Sequence[JsonObject] | None
    error: str
    code: str
    strict: bool
    sort: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One case, ready to be compiled with others; ``data`` and ``input`` are JSON texts."""

    suite: str
    category: str
    file: str
    note: str
    dialect: Dialect
    modules: dict[str, str] = field(repr=False)
    entrypoint: str
    data: str = field(repr=False)
    input: str | None = field(repr=False)
    want: Want
    alone: str
    term: bool

    @property
    def name(self) -> str:
        """What the list of known differences calls it."""
        return f"{self.suite}/{self.file}: {self.note}"


def read(path: Path) -> list[Case]:
    """Read the prepared cases; numbers of wanted results come as they are written."""
    raw: list[dict[str, Any]] = json.loads(path.read_text("utf-8"), parse_int=Number, parse_float=Number)
    return [_case(each) for each in raw]


class Number(str):
    """A number as it was written, because floats would not keep it."""

    __slots__ = ()


def _case(written: dict[str, Any]) -> Case:
    return Case(**{**written, "dialect": Dialect(written["dialect"]), "want": Want(**written["want"])})


def batches(cases: Sequence[Case]) -> list[list[Case]]:
    """Cut into groups that compile together, in the order given."""
    found: list[list[Case]] = [[each] for each in cases if each.alone]
    for _, group in groupby((each for each in cases if not each.alone), lambda each: each.dialect):
        members = list(group)
        found += [members[start : start + BATCH] for start in range(0, len(members), BATCH)]
    return found
