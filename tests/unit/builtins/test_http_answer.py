"""How answers are decoded, compared with OPA's own decoder."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.builtins.http_answer import decode_json, readable
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.text import to_json

LETTERS = st.characters(exclude_categories=["Cs"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS), inner, max_size=4),
    max_leaves=12,
)


def by_opa(toolkit: Toolkit, body: str) -> bytes:
    """Return what OPA's json.unmarshal makes of a text."""
    found = toolkit.builtin("json.unmarshal", [orjson.dumps(body)], now_ns=0, seed=0)
    assert found is not None
    return to_json(found)


@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS, indent=st.booleans())
def test_json_is_decoded_as_opa_does(toolkit: Toolkit, document: object, indent: bool) -> None:
    """Any document, however it is written; numbers keep their digits."""
    body = json.dumps(document, indent=2 if indent else None, ensure_ascii=indent)

    decoded = decode_json(body.encode())

    assert decoded is not None
    assert to_json(decoded) == by_opa(toolkit, body)


@pytest.mark.parametrize(
    "body",
    [
        "1E5",
        "-0",
        "0.10",
        "1e400",
        "123456789012345678901234567890.5",
        '{"a": 1, "a": {"b": 2}}',
        '"\\ud800\\u0041"',
        '"\\udc00\\ud800"',
        '"\\\\ud800"',
        '"\\u0000\\/"',
        " [1, 2]\n",
        '{"\\ud83d\\ude00": "\\uD83D\\uDE00"}',
        "[" * 900 + "]" * 900,
    ],
)
def test_odd_spellings_are_decoded_as_opa_does(toolkit: Toolkit, body: str) -> None:
    """Whatever servers write."""
    decoded = decode_json(body.encode())

    assert decoded is not None
    assert to_json(decoded) == by_opa(toolkit, body)


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"{'a': 1}", b"[1,]", b"01", b"NaN", b"-Infinity", b'"\n"', b"\xef\xbb\xbf1", b"tru", b"\xff"],
)
def test_what_is_no_json_is_none(body: bytes) -> None:
    """It becomes null in the answer."""
    decoded = decode_json(body)

    # Of 01 Go reads the nought, as it does not mind what follows a document.
    assert decoded == (b"0" if body == b"01" else None)


@given(st.binary(max_size=200))
def test_any_bytes_are_readable(body: bytes) -> None:
    """Text stays what it is, and every other byte is one replacement character."""
    text = readable(body)

    text.encode()
    assert len(text) >= len(body.decode(errors="ignore"))
    if "\ufffd" not in text:
        assert text.encode() == body
