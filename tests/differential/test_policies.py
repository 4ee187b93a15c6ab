"""Random policies: WebAssembly and OPA's interpreter answer the same, or fail the same."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import CompileError, EvaluationTimeout, MemoryExceeded, PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.model.values import Json
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.strict import read

from .native_opa import answers, built
from .rego_text import RegoWriter

RULES = 10
INPUTS = 3
DATA = {"doc": {"list": ["b", 1, {"k": [2]}, None, "a"], "o": {"x": {"b": 1, "a": [3, 2]}, "é": 1.5, "b": "t"}}}
LIMITS = (EvaluationTimeout, MemoryExceeded)


def _verdict(work: Callable[[], object]) -> str:
    try:
        return _shown(work())
    except LIMITS:
        return "limit"
    except PolicyServerError as error:
        return type(error).__name__


def _shown(value: object) -> str:
    return "value " + json.dumps(value, sort_keys=True, ensure_ascii=False)


def _ask(policy: Policy, rule: str, given_input: object) -> object:
    answer = policy.evaluate_json(json.dumps(given_input).encode(), entrypoint=f"t/p/{rule}")
    return ["undefined"] if answer is None else [read(answer)]


def _interpret(toolkit: Toolkit, text: str, rule: str, given_input: Json) -> object:
    query, data = f"data.t.p.{rule}", cast("Json", DATA)
    said = toolkit.eval(query, {"p.rego": text}, data=data, input=given_input, dialect=Dialect.V1)
    results = cast("dict[str, list[dict[str, list[dict[str, Json]]]]]", said)["result"]
    return [results[0]["expressions"][0]["value"]] if results else ["undefined"]


def _disagreements(toolkit: Toolkit, registry: Registry, random: Random) -> list[str]:
    writer = RegoWriter(random)
    text = writer.policy(RULES)
    try:
        wasm = toolkit.build(
            {"p.rego": text}, ["t/p", *(f"t/p/r{index}" for index in range(RULES))], dialect=Dialect.V1
        )
    except CompileError:
        return []
    policy = Policy.load(wasm, data=json.dumps(DATA).encode(), registry=registry, deadline=20.0)
    found = []
    try:
        for _ in range(INPUTS):
            given_input = writer.value()
            for rule in (f"r{index}" for index in range(RULES)):
                verdicts = (
                    _verdict(partial(_ask, policy, rule, given_input)),
                    _verdict(partial(_interpret, toolkit, text, rule, cast("Json", given_input))),
                )
                if verdicts[0] != verdicts[1] and "limit" not in verdicts:
                    found.append(
                        f"{rule} of\n{text}\nwith {given_input!r}:\n  ours   {verdicts[0]}\n  theirs {verdicts[1]}"
                    )
    finally:
        policy.close()
    return found


@pytest.mark.parametrize("part", range(4))
def test_random_policies_answer_like_the_interpreter(
    part: int, toolkit: Toolkit, registry: Registry, effort: int
) -> None:
    """Whatever the policy, the input and the data are."""

    @settings(
        max_examples=8 * effort,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=effort == 1,
    )
    @given(st.integers(0, 2**48))
    def agree(seed: int) -> None:
        found = _disagreements(toolkit, registry, Random(seed * 4 + part))
        assert not found, found[0]

    agree()


def test_random_policies_answer_like_native_opa(toolkit: Toolkit, registry: Registry, effort: int) -> None:
    """A sample is asked of OPA as a native program too: the toolkit could be wrong in both of its parts."""
    program, questions, ours = built(), [], []
    for seed in range(6 * effort):
        writer = RegoWriter(Random(f"native {seed}"))
        text = writer.policy(RULES)
        names = [f"r{index}" for index in range(RULES)]
        try:
            wasm = toolkit.build({"p.rego": text}, [f"t/p/{name}" for name in names], dialect=Dialect.V1)
        except CompileError:
            continue
        policy = Policy.load(wasm, data=json.dumps(DATA).encode(), registry=registry, deadline=20.0)
        given_input = writer.value()
        for name in names:
            questions.append({"module": text, "query": f"data.t.p.{name}", "data": DATA, "input": given_input})
            ours.append(_verdict(partial(_ask, policy, name, given_input)))
        policy.close()

    theirs = [_native_verdict(each) for each in answers(program, questions)]

    different = [
        (mine, their, asked)
        for mine, their, asked in zip(ours, theirs, questions, strict=True)
        if mine not in {their, "limit"}
    ]
    assert not different, different[0]


def _native_verdict(answer: Mapping[str, object]) -> str:
    if "error" in answer:
        return {"eval_conflict_error": "RuleConflict"}.get(str(answer["error"]), str(answer["error"]))
    return _shown([answer["value"]] if "value" in answer else ["undefined"])
