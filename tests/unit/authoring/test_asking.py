"""Comparing two answers."""

import pytest

from policy_server.authoring.asking import same, written
from policy_server.model.values import UNDEFINED
from policy_server.toolkit.answers import Spelled


@pytest.mark.parametrize(
    ("wasm", "interpreter"),
    [
        (None, UNDEFINED),
        (b"null", None),
        (b"1", 1.0),
        (b"1.50", 1.5),
        (b'{"a":[1,{"b":true}]}', {"a": [1, {"b": True}]}),
        (b"12345678901234567890123", 12345678901234567890123),
    ],
)
def test_one_value_is_the_same(wasm: bytes | None, interpreter: object) -> None:
    """However it is written."""
    assert same(wasm, interpreter)


def test_digits_that_a_double_does_not_keep_make_a_difference() -> None:
    """10 / 3 has 20 digits in OPA, and 18 in its WebAssembly; the message shows them."""
    told = Spelled("3.3333333333333333333")

    assert same(b"3.3333333333333333333", told)
    assert not same(b"3.33333333333333333", told)
    assert written({"a": [told, None, 1]}) == '{"a":[3.3333333333333333333,null,1]}'


@pytest.mark.parametrize(
    ("wasm", "interpreter"),
    [
        (None, None),
        (b"null", UNDEFINED),
        (b"1", True),
        (b"false", 0),
        (b"1", "1"),
        (b"[1,2]", [2, 1]),
        (b"[1]", [1, 2]),
        (b'{"a":1}', {"a": 1, "b": 2}),
        (b"12345678901234567890123", 12345678901234567890124),
        (b"{}", []),
    ],
)
def test_other_values_are_not(wasm: bytes | None, interpreter: object) -> None:
    """Undefined is not null, and true is not 1."""
    assert not same(wasm, interpreter)
