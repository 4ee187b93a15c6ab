"""Locking and unlocking that are broken off."""

from dataclasses import dataclass, field

import requests
from crash_checks import Checks, Kind, Violation
from crash_proxy import Span
from crash_receivers import Phase
from crash_spans import publishing
from crash_world import DOOR, World, in_time

_ADDRESS = f"/policy/crash/g/{DOOR}/1.0/lock"
_PATIENCE = 30.0


@dataclass
class Lock:
    """An operator locks a policy, or unlocks it, in turn."""

    name: str = "lock"
    span: Span = field(default_factory=lambda: Span(publishing))
    phases: tuple[Phase, ...] = ()
    _locked: bool = False

    def prepare(self, world: World, checks: Checks) -> None:
        """Take the world as it is."""
        self._world, self._checks = world, checks

    def begin(self) -> None:
        """Turn it; note whether the first server says it is done."""
        self._locked = not self._locked
        self._acknowledged = self._turn(0) == 200

    def arm(self, phase: Phase) -> None:
        """There is no call."""
        raise NotImplementedError

    def check(self) -> None:
        """Both servers are of one mind, the new one when that was acknowledged; trying again succeeds at once."""
        if self._acknowledged:
            self._expect(self._locked)
        seen = self._seen()
        if len(seen) != 1:
            raise Violation(Kind.HALF, f"locked in one server, and not in the other: {seen}")
        # Who asks for what is there already is told so.
        answers: list[int | None] = []
        if not in_time(lambda: answers.append(self._turn(len(answers) % 2)) or answers[-1] is not None, _PATIENCE):
            raise Violation(Kind.STUCK, "nobody takes it when it is tried again")
        if answers[-1] != (403 if seen == {self._locked} else 200):
            raise Violation(Kind.STUCK, f"trying again: {answers[-1]}")
        self._expect(self._locked)

    def _turn(self, server: int) -> int | None:
        try:
            return self._world.call(server, "POST" if self._locked else "DELETE", _ADDRESS).status_code
        except requests.RequestException:
            return None

    def _expect(self, locked: bool) -> None:
        """What was acknowledged counts at once in all workers of both servers."""
        seen = self._seen()
        if seen != {locked}:
            raise Violation(Kind.LOST, f"locked should be {locked}, and is {seen}")

    def _seen(self) -> set[bool]:
        """Ask all workers; those that were just killed do not count."""
        found = set()
        for server in (0, 1):
            for _ in range(8):
                try:
                    answer = self._world.call(server, "POST", _ADDRESS.replace("/lock", "/evaluation"))
                except requests.RequestException:
                    continue
                found.add(answer.status_code == 403)
        return found
