"""What does not load is found before it is published."""

from collections.abc import Callable
from functools import partial

import pytest

from policy_server.engine.policy import Policy
from policy_server.engine.proving import Proof
from policy_server.model.errors import InvalidSource


def load(wasm: bytes, data: str | None, *, memory: int) -> Policy:
    """Make a policy that may use so much memory."""
    return Policy.load(wasm, data=None if data is None else data.encode(), memory_limit=memory)


def test_data_larger_than_the_memory_of_an_evaluation_is_refused(compile_rego: Callable[..., bytes]) -> None:
    """The policy itself fits."""
    proof = Proof(partial(load, memory=8 << 20))
    wasm = compile_rego("package t.p\n\nx := data.list")

    proof(wasm, '{"list": [1]}')
    with pytest.raises(InvalidSource, match="does not load with its data"):
        proof(wasm, '{"list": [' + "1," * 2_000_000 + "1]}")


def test_something_else_than_a_policy_is_refused() -> None:
    """With the reason."""
    with pytest.raises(InvalidSource, match="does not load"):
        Proof(partial(load, memory=8 << 20))(b"\0asm", None)
