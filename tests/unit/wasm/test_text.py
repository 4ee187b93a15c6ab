"""Value text becomes the JSON that OPA prints."""

import json
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.errors import EvaluationAborted
from policy_server.wasm.text import parse, to_json, write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"true", b"true"),
        (b'{"b": 1, "a": [1, 2]}', b'{"a":[1,2],"b":1}'),
        (b"[]", b"[]"),
        (b"{}", b"{}"),
        (b"set()", b"[]"),
        (b"{3, 1, 2}", b"[1,2,3]"),
        (b"{{}}", b"[{}]"),
        (b"{set()}", b"[[]]"),
        (b"{10, 9, 1e1, 2.5}", b"[2.5,9,10,1e1]"),
        (b'{{1, 2}, {"a": 1}, [1], "s", 1, true, false, null}', b'[null,false,true,1,"s",[1],{"a":1},[1,2]]'),
        (b'{[2], [1, 2], [1], ["a"]}', b'[[1],[1,2],[2],["a"]]'),
        (b'{{"a": 2}, {"a": 1, "b": 0}, {"a": 1}}', b'[{"a":1},{"a":1,"b":0},{"a":2}]'),
        ('{"é", "z", "\U0001f600", "\uffff"}'.encode(), '["z","é","\uffff","\U0001f600"]'.encode()),
        (b'{[1]: 2, {3, 1}: 4, null: 5, {"k": {2, 1}}: 6}', b'{"[1,3]":4,"[1]":2,"null":5,"{\\"k\\":[1,2]}":6}'),
        (b'{1: "number", "1": "string"}', b'{"1":"string"}'),
        (b'"a\\u0001\\n\\"\\\\"', b'"a\\u0001\\n\\"\\\\"'),
        (b'["], {", "1.50", ":"]', b'["], {","1.50",":"]'),
    ],
)
def test_sets_keys_and_order(text: bytes, expected: bytes) -> None:
    """Sets become sorted arrays, odd keys their JSON text, and keys are sorted."""
    assert expected == to_json(text)


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (b"1.50", b"1.50"),
        (b"1e2", b"1e2"),
        (b"1E+2", b"1E+2"),
        (b".5", b"0.5"),
        (b"-.0", b"-0.0"),
        (b"007", b"7"),
        (b"5.", b"5.0"),
        (b"-0", b"-0"),
        (b"0.1", b"0.1"),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b"18446744073709551615", b"18446744073709551615"),
        (b"0.1234567890123456789", b"0.1234567890123456789"),
        (b"1e400", b"1e400"),
    ],
)
def test_numbers_stay_exact(spelled: bytes, expected: bytes) -> None:
    """No digit of a number is lost, and spellings JSON does not know are made right."""
    assert expected == to_json(spelled)
    assert b'{"n":[' + expected + b',"1.5"]}' == to_json(b'{"n": [' + spelled + b', "1.5"]}')


def test_enormous_exponents_are_ordered() -> None:
    """Numbers with absurd exponents are sorted as well as anybody can."""
    huge = b"1e99999999999999999999"

    assert b"[-" + huge + b",1e-99999999999999999999,1," + huge + b"]" == to_json(
        b"{" + huge + b", 1, -" + huge + b", 1e-99999999999999999999}"
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xe2\x82A\xff", "\ufffd\ufffdA\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        ("é".encode() + b"\xc3", "é\ufffd"),
    ],
)
def test_invalid_utf8_is_replaced_byte_by_byte(raw: bytes, expected: str) -> None:
    """Each byte that is not UTF-8 becomes one replacement character, as in Go."""
    assert expected == json.loads(to_json(b'"' + raw + b'"'))


@pytest.mark.parametrize(
    "text",
    rb"""{|[1|[1,]|[,1]|{"a"}x|"\x"|{1:2, 3}|{1, 2:3}|{1:2:3}|{1:}|{:1}|"abc|+|1e|]|[1:2]|[1 2]|[}|{1:2]|{,}|nul|set(|
1 2|{"a" ":" 1}|""".split(b"|"),
)
def test_other_text_is_refused(text: bytes) -> None:
    """What is not value text is an error, never a guess."""
    with pytest.raises(EvaluationAborted):
        to_json(text)


@pytest.mark.parametrize(("opening", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_does_not_matter(opening: bytes, end: bytes) -> None:
    """Nesting deeper than Python's own stack is converted."""
    text = opening * 20_000 + b"1" + end * 20_000

    assert text == to_json(text)


def test_sorting_too_deep_is_an_error() -> None:
    """Two very deep members of one set cannot be compared, and that is said."""
    deep = b"[" * 5000 + b"]" * 5000

    with pytest.raises(EvaluationAborted, match="too deeply"):
        to_json(b"{" + deep + b", [" + deep + b"]}")


class Pair(NamedTuple):
    """The same value as Rego text and as JSON text."""

    rego: str
    json: str


def _array(items: list[Pair]) -> Pair:
    return Pair(f"[{', '.join(i.rego for i in items)}]", f"[{','.join(i.json for i in items)}]")


def _set_of(numbers: set[int]) -> Pair:
    shuffled = sorted(numbers, key=lambda number: str(number)[::-1])
    text = "{" + ", ".join(map(str, shuffled)) + "}" if numbers else "set()"
    return Pair(text, f"[{','.join(map(str, sorted(numbers)))}]")


def _object(members: dict[str, Pair]) -> Pair:
    quoted = {key: json.dumps(key, ensure_ascii=False) for key in members}
    return Pair(
        "{" + ", ".join(f"{quoted[key]}: {value.rego}" for key, value in members.items()) + "}",
        "{" + ",".join(f"{orjson.dumps(key).decode()}:{members[key].json}" for key in sorted(members)) + "}",
    )


_strings = st.text(st.characters(exclude_categories=["Cs"])).map(
    lambda text: Pair(json.dumps(text, ensure_ascii=False), orjson.dumps(text).decode())
)
_numbers = st.one_of(
    st.integers(), st.decimals(allow_nan=False, allow_infinity=False, places=5), st.integers(10**18, 10**40)
).map(lambda number: Pair(f"{number}", f"{number}"))
_scalars = st.one_of(st.sampled_from([Pair(word, word) for word in ("null", "true", "false")]), _strings, _numbers)
_values = st.recursive(
    st.one_of(_scalars, st.sets(st.integers(), max_size=5).map(_set_of)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(_array),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4).map(_object),
    ),
    max_leaves=20,
)


@given(_values)
def test_any_value_is_converted(value: Pair) -> None:
    """Whatever is nested in what, the result is the JSON it stands for."""
    assert value.json.encode() == to_json(value.rego.encode())


@given(_values)
def test_both_ways_of_converting_agree(value: Pair) -> None:
    """What the fast way answers is what the careful way answers."""
    text = value.rego.encode()

    assert write(parse(text)) == to_json(text)


@given(st.binary(max_size=40) | st.text('{}[],:" \\set()0123456789.eE-+truefalsnl', max_size=40).map(str.encode))
def test_garbage_never_does_worse_than_an_error(text: bytes) -> None:
    """Any bytes either convert to JSON or raise the one error."""
    try:
        converted = to_json(text)
    except EvaluationAborted:
        return
    json.loads(converted)
