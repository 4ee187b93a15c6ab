"""Reads the case files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from policy_server.pexip.kinds import RequestKind

CASES = Path(__file__).parents[2] / "cases" / "pexip"

_PATHS = {
    "service/configuration": RequestKind.SERVICE,
    "participant/properties": RequestKind.PARTICIPANT,
    "participant/location": RequestKind.MEDIA_LOCATION,
    "participant/avatar": RequestKind.AVATAR,
    "registrations": RequestKind.DIRECTORY,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One request, what is replied and what is observed."""

    name: str
    kind: RequestKind
    alias: str | None
    query: str
    book: Any
    fallback: str
    reply: dict[str, Any]
    log: dict[str, Any]


def read_case(file: Path) -> Case:
    """Read one file."""
    document = json.loads(file.read_text(encoding="utf-8"))
    path, _, query = document["request"].partition("?")
    place = path.removeprefix("/policy/v1/")
    kind = next(kind for start, kind in _PATHS.items() if place.startswith(start))
    alias = None
    if kind is RequestKind.AVATAR:
        alias = unquote(place.removeprefix("participant/avatar/"))
    elif place.startswith("registrations/"):
        kind, alias = RequestKind.REGISTRATION, unquote(place.removeprefix("registrations/"))
    return Case(
        name=f"{file.parent.name}/{file.stem}",
        kind=kind,
        alias=alias,
        query=query,
        book=document.get("book"),
        fallback=document.get("fallback", "404"),
        reply=document["reply"],
        log=document["log"],
    )


def all_cases() -> list[Case]:
    """Read every file, in the order of their names."""
    return [read_case(file) for file in sorted(CASES.glob("*/*.json"))]
