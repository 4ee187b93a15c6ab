"""Arguments made to hurt: each call ends within its deadline and memory, and the next one is right."""

import contextlib
from collections.abc import Callable

import pytest
from hostile_calls import HOSTILE, hostile_input, rego

from policy_server.engine.policy import Policy
from policy_server.model.errors import EvaluationError, ToolkitError


@pytest.fixture(scope="module")
def given() -> bytes:
    """Return what the calls want."""
    return hostile_input()


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_call_ends_and_the_next_is_right(name: str, load_policy: Callable[..., Policy], given: bytes) -> None:
    """Value, undefined or a typed error; never a hang, a crash, or a broken instance."""
    policy = load_policy(rego(name), deadline=1.0)

    with contextlib.suppress(EvaluationError, ToolkitError):
        policy.evaluate_json(given, entrypoint="t/p")

    assert policy.evaluate_json(b"{}", deadline=60.0) == b'{"y":"1"}'
