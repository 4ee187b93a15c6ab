"""OPA's own functions, answered by the toolkit in the middle of an evaluation."""

import json
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from policy_server.builtins.call import Call
from policy_server.builtins.opa import OpaFunctions
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, ToolkitMissing
from policy_server.toolkit.toolkit import Toolkit

REGO = """package t.p

printed := sprintf("%s is %d (%v)", ["é", 7, {3, 1, 2}])

hashed := crypto.sha256("abc")

replaced := regex.replace("baac", "a*", "-")

sets := object.subset({1, 2, 3}, {3, 1})

big := units.parse("123456789012345678901234567890")

default failed := "undefined"

failed := time.parse_rfc3339_ns(input.time)

stable if {
	uuid.rfc4122("a") == uuid.rfc4122("a")
	uuid.rfc4122("a") != uuid.rfc4122("b")
	rand.intn("x", 1000000000) == rand.intn("x", -1000000000)
}

id := uuid.rfc4122("a")

dice := rand.intn("x", 1000000000)
"""


@pytest.fixture
def policy(load_policy: Callable[..., Policy]) -> Policy:
    """Return a policy that calls OPA's functions."""
    return load_policy(REGO)


class Recorder(Toolkit):
    """The toolkit, counting what it is asked."""

    def __init__(self, real: Toolkit) -> None:
        self.asked: list[tuple[str, tuple[bytes, ...], float | None]] = []
        self._real = real

    def loaded(self) -> bool:
        """Return whether the real one is."""
        return self._real.loaded()

    def prepare(self, progress: object = None) -> None:
        """Load the real one."""
        self._real.prepare()

    def builtin(
        self, name: str, args: Sequence[bytes], *, now_ns: int, seed: int, deadline: float | None = None
    ) -> bytes | None:
        """Ask the real one."""
        self.asked.append((name, tuple(args), deadline))
        return self._real.builtin(name, args, now_ns=now_ns, seed=seed, deadline=deadline)


def test_opas_own_code_answers(policy: Policy) -> None:
    """Texts, hashes, patterns, sets and exact numbers come out as in OPA."""
    found = json.loads(policy.evaluate_json() or b"")

    assert found["printed"] == "é is 7 ({1, 2, 3})"
    assert found["hashed"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found["replaced"] == "-b-c-"
    assert found["sets"] is True
    assert found["big"] == 123456789012345678901234567890


def test_randomness_is_stable_within_an_evaluation_only(policy: Policy) -> None:
    """The same question has one answer in one evaluation, and another in the next."""
    first, second = (json.loads(policy.evaluate_json() or b"") for _ in range(2))

    assert first["stable"] is second["stable"] is True
    assert first["id"] != second["id"]
    assert (first["dice"], first["id"]) != (second["dice"], second["id"])


def test_a_failing_function_is_undefined(policy: Policy) -> None:
    """One bad value does not fail the document; who wants to know is told."""
    errors: list[str] = []

    found = json.loads(policy.evaluate_json(b'{"time": "yesterday"}', errors=errors) or b"")

    assert found["failed"] == "undefined"
    assert len(errors) == 1
    assert "yesterday" in errors[0]


def test_a_failing_function_fails_a_strict_evaluation(policy: Policy) -> None:
    """Strict callers get the error, and the policy answers the next one."""
    with pytest.raises(BuiltinFailed, match="yesterday"):
        policy.evaluate_json(b'{"time": "yesterday"}', strict=True)

    assert b'"failed":0' in (policy.evaluate_json(b'{"time": "1970-01-01T00:00:00Z"}', strict=True) or b"")


def test_the_same_question_is_asked_once(toolkit: Toolkit) -> None:
    """Answers are remembered within an evaluation, errors included."""
    recorder = Recorder(toolkit)
    functions = OpaFunctions(recorder)
    call = Call({}, 0, time.monotonic() + 10)

    answers = [functions.answer("sprintf", call, (b'"%d"', b"[1]")) for _ in range(3)]
    failures = [functions.answer("time.parse_rfc3339_ns", call, (b'"no"',)) for _ in range(3)]

    assert answers == [b'"1"'] * 3
    assert failures == [None] * 3
    assert len(recorder.asked) == 2
    assert len(call.errors) == 1


def test_the_toolkit_gets_the_rest_of_the_time(toolkit: Toolkit) -> None:
    """A function may take no longer than what the evaluation has left."""
    recorder = Recorder(toolkit)
    OpaFunctions(recorder).answer("sprintf", Call({}, 0, time.monotonic() + 5), (b'"x"', b"[]"))

    (asked,) = recorder.asked
    assert asked[2] is not None
    assert 0 < asked[2] <= 5


def test_no_time_is_no_call(toolkit: Toolkit) -> None:
    """Past the deadline nothing is asked any more."""
    recorder = Recorder(toolkit)

    with pytest.raises(EvaluationTimeout):
        OpaFunctions(recorder).answer("sprintf", Call({}, 0, time.monotonic() - 1), (b'"x"', b"[]"))

    assert recorder.asked == []


def test_a_long_function_ends_at_the_deadline(load_policy: Callable[..., Policy]) -> None:
    """A function that runs for long inside the toolkit does not outlive the evaluation, and the next one is right."""
    policy = load_policy("package t.p\n\nx := count(numbers.range_step(1, input.to, 1))\n")
    assert policy.evaluate_json(b'{"to": 3}') == b'{"x":3}'

    with pytest.raises(EvaluationTimeout):
        policy.evaluate_json(b'{"to": 20000000}', deadline=0.05)

    assert policy.evaluate_json(b'{"to": 5}', deadline=10) == b'{"x":5}'


class Slow(Toolkit):
    """A toolkit that is being made ready for as long as the test wants."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.ready = threading.Event()
        self.preparations = 0
        self._failure = failure

    def loaded(self) -> bool:
        """Return whether it is ready."""
        return self.ready.is_set()

    def prepare(self, progress: object = None) -> None:
        """Wait, or fail."""
        self.preparations += 1
        if self._failure is not None:
            raise self._failure
        self.ready.wait(10)

    def builtin(
        self, name: str, args: Sequence[bytes], *, now_ns: int, seed: int, deadline: float | None = None
    ) -> bytes | None:
        """Answer."""
        return b'"ready"'


def test_a_toolkit_in_preparation_does_not_hold_callers() -> None:
    """Its first compilation takes half a minute: callers give up at their deadline, and it is started once."""
    slow = Slow()
    functions = OpaFunctions(slow)

    for _ in range(3):
        with pytest.raises(EvaluationTimeout, match="made ready"):
            functions.answer("sprintf", Call({}, 0, time.monotonic() + 0.01), ())
    slow.ready.set()

    assert functions.answer("sprintf", Call({}, 0, time.monotonic() + 10), ()) == b'"ready"'
    assert slow.preparations == 1


def test_a_missing_toolkit_is_told() -> None:
    """An evaluation that needs it says what is missing."""
    functions = OpaFunctions(Slow(ToolkitMissing()))

    with pytest.raises(ToolkitMissing):
        functions.answer("sprintf", Call({}, 0, time.monotonic() + 10), ())
