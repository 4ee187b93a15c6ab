"""A policy: module, data and builtins joined."""

import gc
import hashlib
import json
import threading
from collections.abc import Callable

import pytest

from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import (
    EntrypointNotFound,
    EvaluationTimeout,
    InvalidJson,
    InvalidModule,
    MemoryExceeded,
    UnknownBuiltin,
)
from policy_server.model.values import UNDEFINED, Json
from policy_server.wasm import unchecked
from policy_server.wasm.module import ModuleCache

REGO = """package t.p

default allow := false

allow if input.user in data.users

greeting := concat(" ", ["hello", external.http.header("x-name")])

# METADATA
# entrypoint: true
echo := input

# METADATA
# entrypoint: true
big := [input, 1.50, {2, 1}]
"""

ENDLESS = """package t.p

x if {
	some zero in [0, -1]
	some _ in many
	some _ in many
	some each in many
	each == zero
}

many := numbers.range(1, 9999)
"""
"""Allocates nothing, so that the memory limit never comes first."""


@pytest.fixture
def policy(load_policy: Callable[..., Policy]) -> Policy:
    """Return a policy with two users."""
    return load_policy(REGO, data=b'{"users": ["alice", "bob"]}')


def test_it_says_what_it_is(policy: Policy, compile_rego: Callable[..., bytes]) -> None:
    """Entrypoints, builtins and digest can be read."""
    assert tuple(sorted(policy.entrypoints)) == ("t/p", "t/p/big", "t/p/echo")
    assert policy.builtins == ("exact.concat", "external.http.header")
    assert hashlib.sha256(compile_rego(REGO)).hexdigest() == policy.digest


def test_json_in_json_out(policy: Policy) -> None:
    """Bytes go in and compact, sorted bytes come out of the package document."""
    assert policy.evaluate_json(b'{"user": "bob"}', entrypoint="t/p", headers={"X-Name": "Bob"}) == (
        b'{"allow":true,"big":[{"user":"bob"},1.50,[1,2]],"echo":{"user":"bob"},"greeting":"hello Bob"}'
    )


def test_values_in_values_out(policy: Policy) -> None:
    """Python values go in and come out."""
    found = policy.evaluate({"user": "eve"}, entrypoint="t/p")

    assert isinstance(found, dict)
    assert found["allow"] is False
    assert found["greeting"] == "hello "


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 2**70, {"é": [1.5, None]}])
def test_every_value_is_an_input(policy: Policy, value: Json) -> None:
    """False, zero and empty are inputs like any other, and integers of any size stay exact."""
    assert value == policy.evaluate(value, entrypoint="t/p/echo")
    assert [value, 1.5, [1, 2]] == policy.evaluate(value, entrypoint="t/p/big")


def test_no_input_is_not_null(policy: Policy) -> None:
    """Undefined in, undefined out; null in, null out."""
    assert policy.evaluate(entrypoint="t/p/echo") is UNDEFINED
    assert policy.evaluate_json(entrypoint="t/p/echo") is None
    assert policy.evaluate(None, entrypoint="t/p/echo") is None
    assert policy.evaluate_json(b"null", entrypoint="t/p/echo") == b"null"


def test_an_unknown_entrypoint_lists_those_there(policy: Policy) -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(EntrypointNotFound, match=r"no entrypoint t/p/nope; it has .*t/p/echo"):
        policy.evaluate_json(entrypoint="t/p/nope")


def test_data_is_swapped_whole(policy: Policy) -> None:
    """New data as object or as text counts from the next evaluation on; bad data changes nothing."""
    assert b'"allow":true' in (policy.evaluate_json(b'{"user": "bob"}', entrypoint="t/p") or b"")

    policy.set_data({"users": ["eve"]})
    assert b'"allow":false' in (policy.evaluate_json(b'{"user": "bob"}', entrypoint="t/p") or b"")

    policy.set_data(b'{"users": ["bob"]}')
    for bad in (b"[]", b"{", [1], None):
        with pytest.raises(InvalidJson):
            policy.set_data(bad)
    assert b'"allow":true' in (policy.evaluate_json(b'{"user": "bob"}', entrypoint="t/p") or b"")


def test_time_is_limited(load_policy: Callable[..., Policy]) -> None:
    """A policy has a deadline, and an evaluation may bring its own."""
    policy = load_policy(ENDLESS, deadline=0.05)

    with pytest.raises(EvaluationTimeout):
        policy.evaluate_json()
    with pytest.raises(EvaluationTimeout):
        load_policy(ENDLESS).evaluate_json(deadline=0.02)


def test_memory_is_limited(load_policy: Callable[..., Policy]) -> None:
    """What one evaluation may use is bounded, data included."""
    rego = "package t.p\n\nx := count([y | some i in numbers.range(0, 20000000); y := [i, i]])\n"

    with pytest.raises(MemoryExceeded):
        load_policy(rego, memory_limit=16 << 20).evaluate_json(deadline=30)
    with pytest.raises(MemoryExceeded):
        load_policy(rego, memory_limit=4 << 20, data=json.dumps({"k": ["x" * 1000] * 5000}).encode())


def test_modules_that_cannot_run_here_are_refused(compile_rego: Callable[..., bytes]) -> None:
    """Garbage and modules with functions nobody answers fail at load."""
    with pytest.raises(InvalidModule):
        Policy.load(b"garbage")
    with pytest.raises(UnknownBuiltin, match="sprintf"):
        Policy.load(compile_rego('package t.p\n\nx := sprintf("%d", [1])\n'), registry=Registry.discover())


def test_nothing_is_needed_but_the_module(compile_rego: Callable[..., bytes]) -> None:
    """Modules, registry, data and limits have defaults."""
    assert b'"greeting":"hello "' in (Policy.load(compile_rego(REGO)).evaluate_json(b"{}", entrypoint="t/p") or b"")


def test_a_closed_policy_still_answers_late_callers(policy: Policy) -> None:
    """Closing frees memory and may be repeated; who found the policy before is answered."""
    policy.close()
    policy.close()

    assert policy.evaluate_json(b"7", entrypoint="t/p/echo") == b"7"


def test_threads_share_a_policy_while_its_data_changes(load_policy: Callable[..., Policy]) -> None:
    """Eight threads get right answers and their own headers while data is swapped and the policy is closed."""
    policy = load_policy(REGO, data=b'{"users": ["u"]}', size=3)
    problems: list[object] = []

    def work(number: int) -> None:
        for turn in range(150):
            text = json.dumps({"user": "u", "n": [number, turn]}).encode()
            found = json.loads(policy.evaluate_json(text, entrypoint="t/p", headers={"X-Name": str(number)}) or b"")
            if (found["allow"], found["echo"], found["greeting"]) != (True, json.loads(text), f"hello {number}"):
                problems.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for turn in range(20):
        policy.set_data({"users": [str(turn), "u"]})
    policy.close()
    for each in threads:
        each.join()

    assert problems == []


def test_a_forgotten_policy_is_freed(compile_rego: Callable[..., bytes], modules: ModuleCache) -> None:
    """A policy that nobody closed goes with its last reference."""
    before = len(unchecked._machines)
    policy = Policy.load(compile_rego(REGO), modules=modules)
    policy.evaluate_json(b"{}", entrypoint="t/p/echo")

    del policy
    gc.collect()

    assert before >= len(unchecked._machines)


def test_reloading_does_not_grow(compile_rego: Callable[..., bytes], registry: Registry) -> None:
    """Old policies leave nothing behind: not in the module cache, not among the runtime's instances."""
    modules = ModuleCache(None)
    gc.collect()  # what other tests left must not go away meanwhile
    before = len(unchecked._machines)
    held = Policy.load(compile_rego(REGO), modules=modules, registry=registry)
    for turn in range(30):
        fresh = Policy.load(compile_rego(REGO), modules=modules, registry=registry, data=b'{"n": %d}' % turn)
        fresh.evaluate_json(b"{}")
        held.close()
        held = fresh
    held.close()

    assert before == len(unchecked._machines)
