"""OPA's functions called by name, as evaluations do it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.model.errors import BuiltinFailed, ToolkitError
from policy_server.toolkit.toolkit import Toolkit

NOW = 1_700_000_000_000_000_000


def call(toolkit: Toolkit, name: str, *args: bytes, seed: int = 7) -> bytes | None:
    """Call with a fixed time."""
    return toolkit.builtin(name, args, now_ns=NOW, seed=seed)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("sprintf", [b'"%d %s"', b'[1, "x"]'], b'"1 x"'),
        ("union", [b"{{3, 2}, {1}}"], b"{1,2,3}"),
        ("intersection", [b"{{1}, {2}}"], b"set()"),
        ("minus", [b"{1}", b"set()"], b"{1}"),
        ("object.keys", [b'{[1]: 2, {"a"}: 3, "k": 4}'], b'{"k",[1],{"a"}}'),
        ("sort", [b'{"b", 1, null, [2]}'], b'[null,1,"b",[2]]'),
        ("plus", [b".5", b"007"], b"7.5"),
        (
            "json.unmarshal",
            [b'"{\\"a\\": 1.50, \\"b\\": 123456789012345678901}"'],
            b'{"a":1.50,"b":123456789012345678901}',
        ),
        ("upper", ['"é\\u00e9\\ud83d\\ude00\\n\\t\\u0001"'.encode()], '"ÉÉ😀\\n\\t\\u0001"'.encode()),
        ("base64.decode", [b'"/w=="'], '"\ufffd"'.encode()),
        ("crypto.sha256", [b'"\xff"'], b'"a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89"'),
        ("time.now_ns", [], b"1700000000000000000"),
        ("opa.runtime", [], b"{}"),
        ("array.concat", [b"[]", b"[{}]"], b"[{}]"),
    ],
)
def test_values_in_and_out(toolkit: Toolkit, name: str, args: list[bytes], expected: bytes) -> None:
    """Sets, odd keys, spelled numbers, escapes and raw bytes go in; sorted valid value text comes out."""
    assert call(toolkit, name, *args) == expected


def test_undefined_is_none(toolkit: Toolkit) -> None:
    """A function without a value answers None, not null."""
    assert call(toolkit, "regex.find_all_string_submatch_n", b'"a"', b'"b"', b"-1") == b"[]"
    assert call(toolkit, "uuid.parse", b'"nonsense"') is None
    assert call(toolkit, "json.unmarshal", b'"null"') == b"null"


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("to_number", [b'"x"'], "to_number: strconv.ParseFloat"),
        ("sprintf", [b"1", b"[]"], "sprintf: operand 1 must be string but got number"),
        ("sprintf", [b'"%d"'], "sprintf: 1 arguments, want 2"),
        ("upper", [b'"open'], "upper: argument is not a value, at byte 5"),
        ("upper", [b"[1"], "upper: argument is not a value, at byte 2"),
        ("upper", [b""], "upper: argument is not a value"),
        ("count", [b"[" * 6000 + b"]" * 6000], "nested too deeply"),
        ("json.match_schema", [b"{}", b'{"$ref": "http://127.0.0.1/x"}'], "remote reference loading disabled"),
    ],
)
def test_failures_are_told_in_opas_words(toolkit: Toolkit, name: str, args: list[bytes], message: str) -> None:
    """A failing function is told from an undefined one, with its name; the instance works on."""
    with pytest.raises(BuiltinFailed, match=message.replace("(", r"\(")):
        call(toolkit, name, *args)
    assert call(toolkit, "plus", b"1", b"1") == b"2"


@pytest.mark.parametrize("name", ["http.send", "net.lookup_ip_addr", "no.such", "walk", "x" * 300])
def test_what_opa_cannot_answer_here(toolkit: Toolkit, name: str) -> None:
    """Network functions and unknown ones are refused, not undefined."""
    with pytest.raises(ToolkitError):
        call(toolkit, name, b"{}")


def test_chance_depends_on_seed_and_arguments_alone(toolkit: Toolkit) -> None:
    """The same question has the same random answer; another seed or argument has another."""
    first = call(toolkit, "uuid.rfc4122", b'"a"')

    assert call(toolkit, "uuid.rfc4122", b'"a"') == first
    assert call(toolkit, "uuid.rfc4122", b'"b"') != first
    assert call(toolkit, "uuid.rfc4122", b'"a"', seed=8) != first
    assert call(toolkit, "rand.intn", b'"a"', b"1000000") == call(toolkit, "rand.intn", b'"a"', b"1000000")


def test_every_function_survives_wrong_arguments(toolkit: Toolkit) -> None:
    """No function of OPA's breaks the toolkit, whatever it is given."""
    said = []
    for each in toolkit.capabilities()["builtins"]:
        arguments = each["decl"].get("args", [])
        for value in (b"null", b'"x"', b"{1, {2}}", b"[]", b"-1"):
            try:
                call(toolkit, each["name"], *[value] * len(arguments))
            except (BuiltinFailed, ToolkitError) as error:
                said.append(f"{each['name']}({value!r}): {error.message}")

    assert len(said) > 100
    assert [line for line in said if "panic" in line or "broke" in line] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=JSON, escaped=st.booleans())
def test_json_survives_the_way_there_and_back(toolkit: Toolkit, value: object, escaped: bool) -> None:
    """Any JSON value, written with or without escapes, comes back equal."""
    sent = json.dumps([value], ensure_ascii=escaped).encode()

    assert json.loads(call(toolkit, "array.concat", b"[]", sent) or b"") == [value]
