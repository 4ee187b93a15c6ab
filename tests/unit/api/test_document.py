"""The JSON texts on both sides of an evaluation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.api.document import escaped, first_value, input_text, unwrap
from policy_server.model.errors import EntrypointNotFound, InvalidJson

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def compact(value: object) -> bytes:
    """Write JSON the way an evaluation does."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_no_body_is_a_null_input(body: bytes) -> None:
    """An empty body makes the input null, which is not the same as undefined."""
    assert input_text(body) == b"null"


def test_broken_utf8_in_a_body_is_replaced() -> None:
    """A byte that is not UTF-8 reaches the policy as the replacement character."""
    assert input_text(b'"\xff"') == '"\ufffd"'.encode()


@pytest.mark.parametrize(
    ("body", "first"),
    [
        (b'{"a":1} trailing', b'{"a":1}'),
        (b"1 2", b"1"),
        (b'"x"}', b'"x"'),
        (b"[1]\n[2]", b"[1]"),
        ('{"\u00e9":1}\u00e9'.encode(), '{"\u00e9":1}'.encode()),
    ],
)
def test_the_first_json_value_of_a_body_counts(body: bytes, first: bytes) -> None:
    """What follows the first value is left out."""
    assert first_value(body) == first


@pytest.mark.parametrize("body", [b"nope", b"{", b'{"a":}', b"NaN", b"-Infinity", b"'a'", b"[" * 200_000, b"\x00"])
def test_a_body_that_does_not_begin_with_json_is_refused(body: bytes) -> None:
    """Neither Python's extras nor endless nesting count as JSON."""
    with pytest.raises(InvalidJson):
        first_value(body)


def test_a_very_long_number_is_only_looked_for() -> None:
    """A number with more digits than Python converts is no obstacle."""
    digits = b"7" * 10_000

    assert first_value(digits + b" x") == digits


@pytest.mark.parametrize(
    ("result", "document"),
    [
        (b'{"$0":1}', b"1"),
        (b'{"$0":null}', b"null"),
        (b'{"$0":12345678901234567890123.450}', b"12345678901234567890123.450"),
        (b'{"$0":{"$0":1}}', b'{"$0":1}'),
        (b'{"$0":"}"}', b'"}"'),
        (b'{"$0":1,"$1":2}', b'{"$0":1,"$1":2}'),
        (b'{"$0":1,"b":2}', b'{"$0":1,"b":2}'),
        (b'{"#":1,"$0":2}', b'{"#":1,"$0":2}'),
        (b"{}", b"{}"),
        (b'["$0"]', b'["$0"]'),
    ],
)
def test_the_blank_rule_alone_is_answered_bare(result: bytes, document: bytes) -> None:
    """``$0`` is taken off when it is the only key, and numbers keep their digits."""
    assert unwrap(result) == document


def test_no_result_is_an_error() -> None:
    """A package that is not in the module has no document."""
    with pytest.raises(EntrypointNotFound):
        unwrap(None)


@given(json_values)
def test_unwrapping_agrees_with_looking_at_the_value(value: object) -> None:
    """For every JSON value the bytes taken out mean the value under ``$0``."""
    assert json.loads(unwrap(compact({"$0": value}))) == json.loads(compact(value))
    assert unwrap(compact({"$0": value, "z": 1})) == compact({"$0": value, "z": 1})


@given(json_values)
def test_escaping_never_changes_the_meaning(value: object) -> None:
    """Escaped text holds no markup, ends with a line feed, and reads as the same value."""
    text = escaped(compact(value))

    assert json.loads(text) == json.loads(compact(value))
    assert text.endswith(b"\n")
    assert not set(b"<>&") & set(text)


def test_escapes_are_those_of_the_original_service() -> None:
    """Markup and the two line separators of JavaScript are written as escapes."""
    assert escaped('"<a>&\u2028\u2029"'.encode()) == rb'"\u003ca\u003e\u0026\u2028\u2029"' + b"\n"
