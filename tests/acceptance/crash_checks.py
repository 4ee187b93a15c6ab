"""What must be true after a crash, asked of both servers over HTTP."""

import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import requests
from crash_world import DOOR, SHUT, World, in_time

PATIENCE: Final = 90.0
_ASKED: Final = 4
_PAGE: Final = 1000
_BOTH: Final = (0, 1)


class Kind(StrEnum):
    """What a crash must not do."""

    LOST = "lost"
    HALF = "half"
    UNTOLD = "untold"
    STUCK = "stuck"


class Violation(AssertionError):
    """A promise was broken."""

    def __init__(self, kind: Kind, message: str) -> None:
        """Say which, and what was seen instead."""
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass
class Checks:
    """Remembers what was found in order, so that each event is looked at once."""

    world: World
    _stamp: int = 0
    _revisions: dict[str, int] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Take what happened so far as it is: who subscribes need not be told of what was before."""
        self._take(self._new_events())

    def answer(self, server: int, name: str) -> int | None:
        """Return which data a server answers with, whose parts belong together; None while it cannot answer."""
        try:
            found = self.world.call(server, "POST", f"/policy/crash/g/{name}/1.0/evaluation")
        except requests.RequestException:
            return None  # the one who was asked has just been killed
        if found.status_code != 200:
            return None
        said: dict[str, int] = found.json()
        parts = {said.get(each) for each in (("kept", "again", "rego") if name == DOOR else ("kept", "again"))}
        if len(parts) != 1:
            raise Violation(Kind.HALF, f"{name} answers {said}")
        return said["kept"]

    def settled(self, name: str, allowed: Callable[[int], bool]) -> int:
        """Wait until both servers answer and list the same, and return that; no answer may ever be another one."""
        last: list[object] = []

        def agree() -> bool:
            answers = [self.answer(server, name) for server in _BOTH for _ in range(_ASKED)]
            wrong = [each for each in answers if each is not None and not allowed(each)]
            if wrong:
                raise Violation(Kind.LOST, f"{name} answers {wrong}")
            last[:] = [*answers, *(self.listed(server, name) for server in _BOTH)]
            return len(set(last)) == 1 and last[0] is not None

        if not in_time(agree, PATIENCE):
            raise Violation(Kind.STUCK, f"the servers do not agree about {name}: {last}")
        return int(str(last[0]))

    def listed(self, server: int, name: str) -> int | None:
        """Return which data a server lists, after looking whether list and history fit."""
        shown = self.get(server, f"/v1/policies/crash/g/{name}/1.0")
        if shown is None:
            return None
        number = json.loads(shown["data"])["n"]
        if name == DOOR and f"rego := {number}\n" not in shown["rego"]:
            raise Violation(Kind.HALF, f"{name} is listed with data {number} and {shown['rego']!r}")
        kept = (self.get(server, f"/v1/policies/crash/g/{name}/1.0/revisions") or {}).get("revisions", [])
        numbers = [each["revision"] for each in kept]
        if numbers != list(range(numbers[0], numbers[0] - len(numbers), -1)) or numbers[0] < shown["revision"]:
            raise Violation(Kind.HALF, f"{name} has revision {shown['revision']} and history {numbers}")
        return int(number)

    def get(self, server: int, path: str) -> Any:
        """Return what a server shows, or None while it cannot."""
        try:
            found = self.world.call(server, "GET", path)
        except requests.RequestException:
            return None
        return found.json() if found.status_code == 200 else None

    def well(self) -> None:
        """Both servers, whoever answers, say that everything is as it should be."""

        def ready() -> bool:
            found = [self.get(server, "/readyz?verbose") for server in _BOTH for _ in range(_ASKED)]
            last[:] = [check for each in found if each for check in each["checks"] if check["state"] != "ready"]
            return all(each is not None and each["status"] == "ready" for each in found)

        last: list[object] = []
        if not in_time(ready, PATIENCE):
            raise Violation(Kind.STUCK, f"a server is not well: {last[:2]}")

    def locked(self) -> None:
        """What was locked is locked in both servers."""
        for server in _BOTH:
            found = self.world.call(server, "POST", f"/policy/crash/g/{SHUT}/1.0/evaluation")
            if found.status_code != 403:
                raise Violation(Kind.LOST, f"the lock of {SHUT}: {found.status_code} {found.text[:200]}")

    def recorded(self, name: str) -> None:
        """Every revision that is kept was recorded before it was made."""
        kept = self.get(0, f"/v1/policies/crash/g/{name}/1.0/revisions?limit=20")["revisions"]
        found = self.get(1, f"/v1/audit?policy=crash/g/{name}/1.0&limit=500")["records"]
        unknown = {each["digest"] for each in kept} - {each["after"] for each in found}
        if unknown:
            raise Violation(Kind.LOST, f"{name} has revisions that no audit record names: {unknown}")

    def told(self, names: Collection[str]) -> None:
        """Each change has exactly one event, the same from both servers, and the subscriber was told of it."""
        new = self._new_events()
        self._take(new)
        wanted = {each["id"] for each in new if each["name"] in names}
        if not in_time(lambda: wanted <= set(self.world.hook.ids), PATIENCE):
            raise Violation(Kind.UNTOLD, f"{len(wanted - set(self.world.hook.ids))} of {len(wanted)} events")
        until = self._stamp
        if not in_time(lambda: not self._pending(until), PATIENCE):
            raise Violation(Kind.STUCK, f"deliveries stay pending: {self._pending(until)[:2]}")
        dead = self.get(0, "/v1/deliveries?state=dead")
        if dead is None or dead["deliveries"]:
            raise Violation(Kind.UNTOLD, f"dead letters: {dead}")
        strange = set(self.world.hook.ids) - self._ids - {each["id"] for each in self._after(0)}
        if strange:
            raise Violation(Kind.UNTOLD, f"ids that no event has: {strange}")

    def _new_events(self) -> list[dict[str, Any]]:
        one, other = self._after(0), self._after(1)
        if one != other[: len(one)]:
            raise Violation(Kind.HALF, "the servers show different events")
        return one

    def _after(self, server: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            cursor = found[-1]["stamp"] if found else self._stamp
            page = self.get(server, f"/v1/events?limit={_PAGE}&cursor={cursor}")
            if page is None:
                raise Violation(Kind.STUCK, f"server {server} does not show events")
            if not page["events"]:
                return found
            found += page["events"]

    def _take(self, events: list[dict[str, Any]]) -> None:
        stamps = [each["stamp"] for each in events]
        if stamps != list(range(self._stamp + 1, self._stamp + 1 + len(stamps))):
            raise Violation(Kind.UNTOLD, f"after {self._stamp} there are events {stamps}")
        again = [each for each, count in Counter(each["id"] for each in events).items() if count > 1]
        if again or self._ids & {each["id"] for each in events}:
            raise Violation(Kind.HALF, f"events with one id: {again}")
        for each in events:
            if each["type"] == "published":
                expected = self._revisions.get(each["name"], 0) + 1
                if each["revision"] != expected:
                    raise Violation(Kind.UNTOLD, f"{each['name']}: revision {expected}, but event {each}")
                self._revisions[each["name"]] = expected
        self._ids |= {each["id"] for each in events}
        self._stamp += len(stamps)

    def _pending(self, until: int) -> list[object]:
        found = self.get(1, "/v1/deliveries?state=pending&limit=200")
        if found is None:
            return ["not shown"]
        return [each for each in found["deliveries"] if each["event"] is None or each["event"]["stamp"] <= until]
