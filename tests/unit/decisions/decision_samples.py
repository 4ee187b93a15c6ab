"""Decisions to be recorded, counts that can be looked at, and sinks that do what a test wants."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from policy_server.decisions.journal import DecisionLog
from policy_server.decisions.lane import Lane
from policy_server.decisions.masking import Masker
from policy_server.decisions.record import Keeping, Recorder
from policy_server.decisions.sink import Unwritten
from policy_server.decisions.taking import Request, Slip
from policy_server.model.decision import Decision, Question
from policy_server.model.logged import LoggedDecision
from policy_server.model.policy import PolicyId

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
POLICY = PolicyId("r", "g", "p", "1.0")
PATIENCE = 60.0


class Counted:
    """Implements lane.Counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def dropped(self, reason: str, count: int = 1) -> None:
        """Count."""
        self.counts[f"dropped {reason}"] += count

    def recorded(self, sink: str, result: str, count: int = 1) -> None:
        """Count."""
        self.counts[f"{sink} {result}"] += count

    def erased(self, reason: str) -> None:
        """Count."""
        self.counts[f"erased {reason}"] += 1


class ListSink:
    """Keeps records in a list; fails as often as told; blocks until let go when told to."""

    def __init__(self, *failures: Exception, blocked: bool = False, name: str = "list") -> None:
        self.name = name
        self.records: list[LoggedDecision] = []
        self.batches: list[int] = []
        self.closed = threading.Event()
        self.entered = threading.Event()
        self.gate = threading.Event()
        if not blocked:
            self.gate.set()
        self._failures = list(failures)
        self._came = threading.Condition()

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Keep them, fail, or wait."""
        self.entered.set()
        self.gate.wait(PATIENCE)
        if self._failures:
            raise self._failures.pop(0)
        with self._came:
            self.records += records
            self.batches.append(len(records))
            self._came.notify_all()

    def wait(self, number: int) -> list[LoggedDecision]:
        """Wait until so many records came."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.records) >= number, PATIENCE)
            return list(self.records)

    def close(self) -> None:
        """Remember it."""
        self.closed.set()


def slip(number: int = 0, *, result: bytes = b"true") -> Slip:
    """Make what a request leaves; ``number`` becomes the decision's id."""
    question = Question(POLICY, b'{"n": %d}' % number, "g/p")
    return Slip(question, decision=Decision(str(number), POLICY, 1, result, 1000))


REQUEST = Request(handler="/policy/…/evaluation", status=200, requested_by="token:ci", request_id="r-1")


def recorder(counts: Counted | None = None, keeping: Keeping | None = None) -> Recorder:
    """Make one that hides nothing but what is always hidden."""
    return Recorder(Masker(), keeping or Keeping(), {"id": "here"}, (counts or Counted()).erased)


def make_log(
    *sinks: ListSink,
    counts: Counted | None = None,
    limit: int = 100,
    room: int = 0,
    most: int = 1000,
    **options: object,
) -> DecisionLog:
    """Make a log that brings records to sinks."""
    counts = counts or Counted()
    lanes = [Lane(sink, room or limit, counts, lambda: NOON, first=0.01, idle=0.01) for sink in sinks]
    given = {"poll": 0.01, "patience": 1.0, **options}
    return DecisionLog(recorder(counts), lanes, counts, lambda: NOON, limit=limit, most=most, **given)  # type: ignore[arg-type]


class Running:
    """A log whose thread runs until the end of a block."""

    def __init__(self, log: DecisionLog) -> None:
        self.log = log
        self.stop = threading.Event()
        self.thread = threading.Thread(target=log.run, args=(self.stop,))

    def __enter__(self) -> DecisionLog:
        self.thread.start()
        return self.log

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def unwritten(message: str = "away", *, final: bool = False) -> Unwritten:
    """Make a failure of a sink."""
    return Unwritten(message, final=final)
