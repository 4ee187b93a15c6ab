"""The operations that are broken off: how each is begun, where it may be, and what must be true afterwards."""

import time
from dataclasses import dataclass, field
from typing import Protocol

import requests
from crash_checks import PATIENCE, Checks, Kind, Violation
from crash_locking import Lock
from crash_proxy import Span, When, owner
from crash_receivers import Peer, Phase
from crash_spans import delivering, publishing, refreshing
from crash_world import DOOR, FETCHED, World, in_time


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker dies: at the ``number``-th request to the database with this label, or in a phase of a call."""

    number: int = 0
    when: When = When.BEFORE
    phase: Phase | None = None
    label: str = ""

    def __str__(self) -> str:
        if self.phase is not None:
            return f"call {self.phase}"
        return f"{self.when} request {self.number} {self.label}".strip() if self.number else "nowhere"


@dataclass
class Outcome:
    """How one crash ended; ``label`` is what the worker was doing, ``seconds`` until all was well again."""

    point: Point
    label: str
    fired: bool
    seconds: float = 0.0
    duplicates: int = 0
    violation: Violation | None = None


class Operation(Protocol):
    """Something that a worker does in steps."""

    name: str
    span: Span
    phases: tuple[Phase, ...]

    def prepare(self, world: World, checks: Checks) -> None:
        """Make what it needs, once."""

    def begin(self) -> None:
        """Let it happen, until it is over or its worker was killed."""

    def arm(self, phase: Phase) -> None:
        """Have the worker killed in a phase of the call that it makes."""

    def check(self) -> None:
        """Find out that nothing is lost or half, and that it happens after all."""


@dataclass
class Publish:
    """An author replaces a policy, Rego and data at once."""

    name: str = "publish"
    span: Span = field(default_factory=lambda: Span(publishing))
    phases: tuple[Phase, ...] = ()

    def prepare(self, world: World, checks: Checks) -> None:
        """Take the world as it is."""
        self._world, self._checks = world, checks

    def begin(self) -> None:
        """Send it to the first server; note whether that says it is done."""
        try:
            self._acknowledged = self._world.put(0, DOOR, self._world.number + 1).ok
        except requests.RequestException:
            self._acknowledged = False

    def arm(self, phase: Phase) -> None:
        """There is no call."""
        raise NotImplementedError

    def check(self) -> None:
        """Old or new in both servers, new when that was acknowledged; trying again succeeds."""
        old, new = self._world.number, self._world.number + 1
        found = self._checks.settled(DOOR, lambda seen: seen in {old, new})
        if self._acknowledged and found != new:
            raise Violation(Kind.LOST, f"{new} was acknowledged, {found} is there")
        self._world.number = new
        self._retry(new)
        after = self._checks.settled(DOOR, lambda seen: seen in {found, new})
        if after != new:
            raise Violation(Kind.LOST, f"{new} was acknowledged, {after} is there")
        self._checks.recorded(DOOR)

    def _retry(self, new: int) -> None:
        for server in (new % 2, 1 - new % 2):
            try:
                answer = self._world.put(server, DOOR, new)
            except requests.ConnectionError:
                continue  # that server is down as a whole
            if not answer.ok:
                raise Violation(Kind.STUCK, f"trying again: {answer.status_code} {answer.text[:300]}")
            return
        raise Violation(Kind.STUCK, "nobody takes it when it is tried again")


@dataclass
class Refresh:
    """Whoever holds the background lease fetches data every second; each time there is new data."""

    ends: str
    name: str = "refresh"
    phases: tuple[Phase, ...] = tuple(Phase)
    _newest: int = 0

    def __post_init__(self) -> None:
        """A fetch begins and ends with its lease."""
        self.span = Span(refreshing, begins="leases refresh", ends=self.ends)

    def prepare(self, world: World, checks: Checks) -> None:
        """Publish a policy whose data is fetched."""
        self._world, self._checks = world, checks
        assert world.put(0, FETCHED, 0, fetched=True).ok
        world.subscribe(FETCHED)
        self._await(0)

    def begin(self) -> None:
        """Wait for the next time."""
        in_time(lambda: self._world.trap.over.is_set() or self._world.trap.fired.is_set(), PATIENCE)

    def arm(self, phase: Phase) -> None:
        """Kill who fetches."""
        strike_in(self._world.source, phase, self._world, Span(refreshing))

    def check(self) -> None:
        """Newer data comes to both servers, and goes on coming."""
        floor = self._world.source.served
        self._await(floor)
        for server in (0, 1):
            shown = self._checks.get(server, f"/v1/policies/crash/g/{FETCHED}/1.0")
            if shown is None or shown["refresh"]["next_run"] is None:
                raise Violation(Kind.STUCK, f"the next run is not planned: {shown and shown['refresh']}")
        self._await(floor + 1)

    def _await(self, floor: int) -> None:
        """Wait until both servers answer with data that was served after ``floor``; it never goes back."""

        def newer() -> bool:
            for server in (0, 1):
                shown = self._checks.listed(server, FETCHED)
                if shown is not None and shown < self._newest:
                    raise Violation(Kind.LOST, f"data went back from {self._newest} to {shown}")
                self._newest = max(self._newest, shown or 0)
            answers = [self._checks.answer(server, FETCHED) or 0 for server in (0, 1) for _ in range(3)]
            return min(*answers, self._newest) > floor

        if not in_time(newer, PATIENCE):
            raise Violation(Kind.STUCK, f"data {self._newest} is not newer than {floor}")


@dataclass
class Delivery:
    """Whoever holds the background lease tells a subscriber about a change."""

    name: str = "delivery"
    span: Span = field(default_factory=lambda: Span(delivering))
    phases: tuple[Phase, ...] = tuple(Phase)

    def prepare(self, world: World, checks: Checks) -> None:
        """Take the world as it is."""
        self._world, self._checks = world, checks

    def begin(self) -> None:
        """Publish; wait until the subscriber was told and that was noted, or the worker is dead."""
        self._world.number += 1
        trap = self._world.trap
        self._acknowledged = self._put()
        in_time(lambda: trap.fired.is_set() or self._noted(), PATIENCE)

    def arm(self, phase: Phase) -> None:
        """Kill who calls."""
        strike_in(self._world.hook, phase, self._world, Span(delivering))

    def check(self) -> None:
        """The change is there, and the subscriber is told of it."""
        if not self._acknowledged:
            self._world.repair()
            assert self._put()
        self._checks.told({DOOR})
        new = self._world.number
        self._checks.settled(DOOR, lambda seen: seen in {new - 1, new})

    def _put(self) -> bool:
        for server in (0, 1):
            try:
                return self._world.put(server, DOOR, self._world.number).ok
            except requests.ConnectionError:
                continue  # told before its author heard of it, and killed for it
        return False

    def _noted(self) -> bool:
        seen = self._world.trap.seen
        last = "COMMIT (UPDATE deliveries)" if self._world.backend == "postgresql" else "UPDATE deliveries"
        return seen.count(last) >= 2  # claimed, and settled


def strike_in(peer: Peer, phase: Phase, world: World, span: Span) -> None:
    """Kill the caller at once, or, when it has its whole answer, before it writes down what came of it."""

    def strike(port: int) -> None:
        caller = owner(port, peer.port)
        if phase is Phase.ANSWERED:
            world.trap.arm(span, 1, sender=caller)
        else:
            world.trap.spring(caller)

    peer.arm(phase, strike)


def operations(backend: str) -> tuple[Operation, ...]:
    """Return all operations, as they look on this database; what goes on by itself comes last."""
    ends = "COMMIT (DELETE leases refresh)" if backend == "postgresql" else "DELETE leases refresh"
    return Lock(), Publish(), Delivery(), Refresh(ends)


def crash(world: World, checks: Checks, operation: Operation, point: Point) -> Outcome:
    """Kill a worker at a point of an operation and look at what is left."""
    trap, calls = world.trap, world.hook.duplicates()
    trap.reset()
    if point.phase is None:
        trap.arm(operation.span, point.number, point.when, label=point.label)
    else:
        operation.arm(point.phase)
    operation.begin()
    fired = trap.disarm()
    label = f"call {point.phase}" if point.phase else (trap.seen or ["nothing"])[-1]
    outcome = Outcome(point, label, fired)
    died = world.killed[-1][1] if outcome.fired else time.monotonic()
    try:
        if world.whole:
            world.repair()
        operation.check()
        outcome.seconds = time.monotonic() - died
        world.repair()
        checks.locked()
        checks.well()
        checks.told({DOOR, FETCHED})
    except Violation as violation:
        outcome.violation = violation
        world.repair()
    outcome.duplicates = world.hook.duplicates() - calls
    return outcome
