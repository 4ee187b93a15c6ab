"""Only strict JSON goes into a module."""

import math

import pytest

from policy_server.model.errors import InvalidJson
from policy_server.wasm.strict import is_object, read, strict, written


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"user":',
        b'{"a": 1} x',
        b'{"a" 1}',
        b"{1: 2}",
        b'{"roles": {"admin"}}',
        b"set()",
        b"[1,]",
        b"[1 2]",
        b"01",
        b".5",
        b"NaN",
        b"Infinity",
        b"'a'",
        b'"\xff"',
        b'"\\ud800"',
        b'"\\x41"',
        b'"a\nb"',
        b"\xef\xbb\xbf{}",
        b"{}\x00",
        b"// comment\n1",
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 1_000_000,
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    """What the module would misread, abort on or trap on is refused before it."""
    with pytest.raises(InvalidJson):
        strict(text)


def test_the_message_does_not_repeat_the_input() -> None:
    """An input may hold secrets; the error only says where it is wrong."""
    with pytest.raises(InvalidJson) as caught:
        strict(b'{"pin": "2931", }')

    assert "2931" not in caught.value.message
    assert "char" in caught.value.message


@pytest.mark.parametrize("text", [b"null", b" 1 ", b'{"a": 123456789012345678901234567890}', b'"\\u0000"', b"\t[]\n"])
def test_json_is_accepted(text: bytes) -> None:
    """Every JSON document passes, as it is."""
    assert text is strict(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\ud840\udc00"', '"\U00020000"'),
        (rb'["\uD83D\uDE00", "\\\\ud840\\udc00 \u00e9"]', '["\U0001f600", ' + r'"\\\\ud840\\udc00 \u00e9"]'),
        (rb'"\\\ud840\udc00\n"', '"\\\\\U00020000\\n"'),
        (rb'{"\udbff\udfff": 1.50}', '{"\U0010ffff": 1.50}'),
    ],
)
def test_escaped_characters_beyond_the_first_plane_are_written_out(text: bytes, expected: str) -> None:
    """OPA's module misreads such escapes, so it never sees them; all else stays as it is."""
    assert expected.encode() == strict(text)


@pytest.mark.parametrize(("text", "expected"), [(b"{}", True), (b' \n{"a":1}', True), (b"[]", False), (b" 1", False)])
def test_objects_are_recognised(text: bytes, expected: bool) -> None:
    """The first character that is not blank decides."""
    assert expected is is_object(text)
    assert expected is is_object(b" " * 100 + text)


@pytest.mark.parametrize("value", [None, True, "é", [1, {"a": 2**200}], 1.5, -(2**63), 2**64])
def test_values_survive_writing_and_reading(value: object) -> None:
    """Integers of any size come back as they were."""
    assert value == read(written(value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {"a": {1}}, "\ud800", [2**70, math.nan], [2**70, object()], [2**70, {1: 2}]]
)
def test_values_without_json_are_refused(value: object) -> None:
    """What JSON cannot say is the caller's mistake."""
    with pytest.raises(InvalidJson):
        written(value)  # type: ignore[arg-type]
