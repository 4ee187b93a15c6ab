"""What the decision log costs: on the thread of a request, and for each record on its own.

PYTHONPATH=scripts .venv/bin/python -m benchmarks.recording
"""

import json
import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

from policy_server.api.request import ApiRequest
from policy_server.api.taking import Taking
from policy_server.decisions import taking
from policy_server.decisions.journal import DecisionLog
from policy_server.decisions.masking import Masker
from policy_server.decisions.record import Keeping, Recorder
from policy_server.model.decision import Decision, Question
from policy_server.model.policy import PolicyId

POLICY = PolicyId("r", "g", "p", "1.0")
KEYS = {f"k{each}": f"value {each}" for each in range(40)}
INPUT = json.dumps({"params": KEYS, "params_all": {key: [text] for key, text in KEYS.items()}, "call": KEYS}).encode()
RESULT = b'{"action": "continue", "result": {"service_type": "conference", "name": "Room", "pin": "123456"}}'


class NoCounts:
    """Counts nothing."""

    def dropped(self, reason: str, count: int = 1) -> None:
        pass

    def recorded(self, sink: str, result: str, count: int = 1) -> None:
        pass

    def erased(self, reason: str) -> None:
        pass


class Answered:
    """As much of an answer as is needed."""

    status_code = 200


def least(work: Callable[[], object], number: int) -> float:
    """Return the fewest seconds of the processor that one call took."""
    return min(timeit.repeat(work, number=number, repeat=15, timer=time.process_time)) / number


def main() -> None:
    """Measure and print."""
    recorder = Recorder(Masker(), Keeping(), {"id": "bench"}, lambda _reason: None)
    limit = 100_000
    log = DecisionLog(recorder, [], NoCounts(), lambda: datetime.now(UTC), limit=limit, most=1 << 15)
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    request = ApiRequest(environ)
    answer, middleware = cast(Any, Answered()), Taking(log.take)
    question, decision = Question(POLICY, INPUT, "g/p"), Decision("5d2c", POLICY, 1, RESULT, 1000)

    def take() -> None:
        middleware.process_request(request, answer)
        taking._note(taking.Slip(question, None, decision))
        middleware.process_response(request, answer, *(None, True))

    print(f"request thread, with room in the queue  {least(take, 2000) * 1e6:6.2f} µs")
    while len(log._waiting) < limit:
        take()
    print(f"request thread, the queue is full       {least(take, 2000) * 1e6:6.2f} µs")
    slip = taking.Slip(question, None, decision)
    print(f"its own thread, {len(INPUT)} bytes of input    {least(lambda: recorder.record(slip), 500) * 1e6:6.2f} µs")


if __name__ == "__main__":
    main()
