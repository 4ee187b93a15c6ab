"""Random policies: WebAssembly and OPA's interpreter answer the same, or fail the same."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import cast

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import CompileError, CompileLimit, EvaluationTimeout, MemoryExceeded, PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.model.values import Json
from policy_server.toolkit.answers import Spelled
from policy_server.toolkit.toolkit import Toolkit

from .native_opa import answers, built
from .rego_text import RegoWriter

RULES = 10
INPUTS = 3
LIMITS = (EvaluationTimeout, MemoryExceeded)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A policy and what it is asked."""

    writer: RegoWriter
    modules: Mapping[str, str]
    rules: list[str]
    data: dict[str, object]
    inputs: list[object]

    @classmethod
    def of(cls, random: Random) -> "Drawn":
        """Draw it all; small choices make small policies, so that hypothesis finds a small one."""
        writer = RegoWriter(random)
        rules = random.choice([1, 3, RULES, RULES, RULES, RULES])
        data, inputs = writer.data(), [writer.value() for _ in range(random.randrange(1, INPUTS + 1))]
        return cls(writer, writer.policy(rules), [f"r{index}" for index in range(rules)], data, inputs)

    def load(self, toolkit: Toolkit, registry: Registry) -> Policy | None:
        """Return the policy; None when OPA does not compile it."""
        try:
            wasm = toolkit.build(self.modules, [f"t/p/{rule}" for rule in self.rules], dialect=Dialect.V1)
        except (CompileError, CompileLimit):
            return None
        return Policy.load(wasm, data=json.dumps(self.data).encode(), registry=registry, deadline=20.0)

    def told(self, rule: str, given_input: object, ours: str, theirs: str) -> str:
        """Say what differs, with the rule and what it depends on only."""
        modules = "\n".join(self.writer.excerpt(rule).values())
        asked = f"input: {json.dumps(given_input)}\ndata:  {json.dumps(self.data)}"
        return f"{rule} of\n{modules}\n{asked}\nours:   {ours}\ntheirs: {theirs}"


def _verdict(work: Callable[[], str]) -> str:
    try:
        return work()
    except LIMITS:
        return "limit"
    except PolicyServerError as error:
        return type(error).__name__


def _shown(value: object) -> str:
    """Return JSON text in which numbers have all their digits, as they are spelled."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)}: {_shown(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return value.text if isinstance(value, Spelled) else json.dumps(value, ensure_ascii=False)


def _ask(policy: Policy, rule: str, given_input: object) -> str:
    answer = policy.evaluate_json(json.dumps(given_input).encode(), entrypoint=f"t/p/{rule}")
    return "undefined" if answer is None else _shown(json.loads(answer, parse_float=Spelled))


def _interpret(toolkit: Toolkit, drawn: Drawn, rule: str, given_input: object) -> str:
    data, asked = cast("Json", drawn.data), cast("Json", given_input)
    said = toolkit.eval(f"data.t.p.{rule}", drawn.modules, data=data, input=asked, dialect=Dialect.V1, spelled=True)
    results = cast("list[dict[str, list[dict[str, Json]]]]", said["result"])
    return _shown(results[0]["expressions"][0]["value"]) if results else "undefined"


def _disagreement(toolkit: Toolkit, registry: Registry, drawn: Drawn) -> str | None:
    policy = drawn.load(toolkit, registry)
    if policy is None:
        return None
    try:
        for given_input in drawn.inputs:
            for rule in drawn.rules:
                ours = _verdict(partial(_ask, policy, rule, given_input))
                theirs = _verdict(partial(_interpret, toolkit, drawn, rule, given_input))
                if ours != theirs and "limit" not in {ours, theirs}:
                    return drawn.told(rule, given_input, ours, theirs)
    finally:
        policy.close()
    return None


@pytest.mark.parametrize("part", range(4))
def test_random_policies_answer_like_the_interpreter(
    part: int, toolkit: Toolkit, registry: Registry, effort: int
) -> None:
    """Whatever the policy, the input and the data are."""

    @settings(
        max_examples=8 * effort,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=False,
    )
    @given(st.randoms(use_true_random=False))
    def agree(random: Random) -> None:
        found = _disagreement(toolkit, registry, Drawn.of(random))
        assert found is None, found

    # The usual run draws the same each time, longer ones something new.
    (seed(part)(agree) if effort == 1 else agree)()


def test_random_policies_answer_like_native_opa(toolkit: Toolkit, registry: Registry, effort: int) -> None:
    """A sample is asked of OPA as a native program too: the toolkit could be wrong in both of its parts."""
    program, questions, asked = built(), [], []
    for number in range(6 * effort):
        drawn = Drawn.of(Random(f"native {number}"))
        policy = drawn.load(toolkit, registry)
        if policy is None:
            continue
        for rule in drawn.rules:
            query = f"data.t.p.{rule}"
            questions.append({"modules": drawn.modules, "query": query, "data": drawn.data, "input": drawn.inputs[0]})
            asked.append((drawn, rule, _verdict(partial(_ask, policy, rule, drawn.inputs[0]))))
        policy.close()

    theirs = [_native_verdict(each) for each in answers(program, questions)]

    different = [
        drawn.told(rule, drawn.inputs[0], ours, their)
        for (drawn, rule, ours), their in zip(asked, theirs, strict=True)
        if ours not in {their, "limit"}
    ]
    assert not different, different[0]


def _native_verdict(answer: Mapping[str, object]) -> str:
    if "error" in answer:
        return {"eval_conflict_error": "RuleConflict"}.get(str(answer["error"]), str(answer["error"]))
    return _shown(answer["value"]) if "value" in answer else "undefined"
