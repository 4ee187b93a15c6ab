"""The time of an evaluation."""

import json
from collections.abc import Callable

from policy_server.engine.policy import Policy

REGO = """package t.p

first := time.now_ns()

same if {
	count({t | some _ in numbers.range(1, 100); t := time.now_ns()}) == 1
	first == time.now_ns()
}

day := time.date(first)

formatted := time.format(first)
"""


def test_time_stands_still_during_an_evaluation(load_policy: Callable[..., Policy]) -> None:
    """A clock that moves with every look is looked at once an evaluation."""
    ticking = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 86_400_000_000_000))
    policy = load_policy(REGO, clock=lambda: next(ticking))

    first, second = (json.loads(policy.evaluate_json() or b"") for _ in range(2))

    assert first == {
        "day": [2023, 11, 14],
        "first": 1_700_000_000_000_000_000,
        "formatted": "2023-11-14T22:13:20Z",
        "same": True,
    }
    assert second["day"] == [2023, 11, 15]
