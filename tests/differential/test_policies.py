"""Random policies: WebAssembly and OPA's interpreter answer the same, or fail the same."""

import json
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import CompileError, EvaluationTimeout, MemoryExceeded, PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.strict import read

from .rego_text import RegoWriter

RULES = 10
INPUTS = 3
DATA = {"doc": {"list": ["b", 1, {"k": [2]}, None, "a"], "o": {"x": {"b": 1, "a": [3, 2]}, "é": 1.5, "b": "t"}}}
LIMITS = (EvaluationTimeout, MemoryExceeded)


def _verdict(work: object) -> str:
    try:
        return "value " + json.dumps(work(), sort_keys=True, ensure_ascii=False)  # type: ignore[operator]
    except LIMITS:
        return "limit"
    except PolicyServerError as error:
        return type(error).__name__


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
            for index in range(RULES):
                rule = f"r{index}"

                def ours(rule: str = rule, given_input: object = given_input) -> object:
                    answer = policy.evaluate_json(json.dumps(given_input).encode(), entrypoint=f"t/p/{rule}")
                    return ["undefined"] if answer is None else [read(answer)]

                def theirs(rule: str = rule, given_input: object = given_input) -> object:
                    said = toolkit.eval(
                        f"data.t.p.{rule}",
                        {"p.rego": text},
                        data=DATA,
                        input=given_input,
                        dialect=Dialect.V1,  # type: ignore[arg-type]
                    )
                    results = said["result"]  # type: ignore[index,call-overload]
                    return [results[0]["expressions"][0]["value"]] if results else ["undefined"]  # type: ignore[index,call-overload]

                verdicts = _verdict(ours), _verdict(theirs)
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
