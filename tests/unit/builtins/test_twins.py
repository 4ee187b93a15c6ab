"""Functions that WebAssembly has itself, answered as OPA's interpreter does."""

import contextlib
import json
from collections.abc import Callable

import pytest

from policy_server.authoring.asking import value_of, written
from policy_server.builtins.opa import EXACT, NATIVE, TWINS
from policy_server.engine.policy import Policy
from policy_server.model.errors import BuiltinFailed, CompileError, EvaluationError, EvaluationTimeout
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit

HEAD = "package t.p\n\n"
FAST = "# METADATA\n# custom:\n#   semantics: fast\n"

DIFFERENT = [
    ('replace("abc", "", "-")', b'"-a-b-c-"'),
    ("format_int(4294967296, 16)", b'"100000000"'),
    ('[i | i := indexof("abc", "")]', b"[]"),
    ('json.is_valid("01")', b"false"),
    ('[x | x := json.unmarshal("[1,]")]', b"[]"),
    ('json.marshal({"<", ">"})', b'"[\\"\\\\u003c\\",\\"\\\\u003e\\"]"'),
    ('[x | x := base64.decode("YWJj!!")]', b"[]"),
    ('base64.decode("")', b'""'),
    ('base64.is_valid("YWI")', b"false"),
    ("10 / 3", b"3.3333333333333333333"),
    ("1e20 + 0.5", b"100000000000000000000"),
    ("0.3 - 0.1", b"0.20000000000000000002"),
    ("0.123456789012345678901 * 3", b"0.37037036703703703672"),
    ("abs(-0.1234567890123456789012)", b"0.1234567890123456789"),
    ("floor(-0.5)", b"0"),
    ("round(1e20)", b"100000000000000000000"),
    ("ceil(-0.5)", b"1"),
    ('concat("", {"c", "a", "b"})', b'"abc"'),
    ('[x | some x in {"c", "a", "b"}]', b'["a","b","c"]'),
    ('[s | v := {"c", "a", "b"}; s := $"{v}"]', b'["{\\"a\\", \\"b\\", \\"c\\"}"]'),
    ('[k | {"c": 0, "a": 0, "b": 0}[k]]', b'["a","b","c"]'),
    ('[[k, v] | some k, v in {"b": {2, 1}, "a": set()}]', b'[["a",[]],["b",[1,2]]]'),
    ('[path | walk({"b": [{"d": 1, "c": 2}], "a": {2, 1}}, [path, 2])]', b'[["a",2],["b",0,"c"]]'),
    ('net.cidr_contains("::ffff:10.0.0.0/104", "10.1.2.3")', b"true"),
    ('json.remove({"a": 1}, [[]])', b'{"a":1}'),
    ("object.union_n([])", b"{}"),
    ("bits.and(7, 1.0)", b"1"),
    ('substring("abc", 1.0, 1)', b'"b"'),
    ("sum([0.5, 1e20])", b"100000000000000000000"),
    ("max([[1], [1.0]])", b"[1.0]"),
    ("min([[1.0], [1]])", b"[1]"),
    ("product([0.1, 3])", b"0.30000000000000004"),
    ('[x | x := base64url.decode("YWJj!!")]', b"[]"),
    ('glob.match("a(b", [], "a(b")', b"true"),
    ('regex.find_all_string_submatch_n("a", "aa", -2)', b'[["a"],["a"]]'),
    ("max([1, 1.0])", b"1.0"),
    ("min([1.0, 1])", b"1"),
    ("union({{1.0, 5}, {1, 3}})", b"[1,3,5]"),
    ("bits.negate(1.0)", b"-2"),
    ("bits.or(1.0, 2)", b"3"),
    ("bits.xor(1.0, 2)", b"3"),
    ("bits.lsh(1.0, 2)", b"4"),
    ("bits.rsh(8, 4294967297)", b"0"),
    ("array.slice([1, 2, 3], 1.0, 2)", b"[2]"),
    ('[type_name(x) | x := to_number("+5")]', b'["number"]'),
    ('json.filter({"a": 1}, [[]])', b"{}"),
    ('net.cidr_intersects("::ffff:10.0.0.0/104", "10.0.0.0/8")', b"true"),
]
"""Expressions, and what OPA answers; its WebAssembly answers each in another way, or fails."""

# Regular expressions are the host's in both semantics, `sort` differs in time only, what
# `intersection` keeps depends on hashes, and integers spelled 1.0 are no difference for the others.
ALIKE = [
    ('regex.match("\\u0000", "")', b"false"),
    ('regex.is_valid("a\\u0000(")', b"false"),
    ("intersection({{1, 2}, {1.0, 2.0}})", b"[1,2]"),
    ("numbers.range(1.0, 3)", b"[1,2,3]"),
    ("-7.0 % 3", b"-1"),
    ("sort([2, 1, 1.0])", b"[1,1.0,2]"),
    ("sort([y | some i in numbers.range(1, 30); y := i % 2])[0]", b"0"),
]
"""More expressions with guarded functions, which WebAssembly answers like OPA, at least these."""

DEPRECATED = {"re_match", "net.cidr_overlap"}
"""Functions that only the older dialect has; their guards are those of `regex.match` and `net.cidr_contains`."""


@pytest.mark.parametrize(("expression", "expected"), DIFFERENT + ALIKE)
def test_what_webassembly_answers_differently_is_answered_like_opa(
    expression: str, expected: bytes, load_policy: Callable[..., Policy], toolkit: Toolkit
) -> None:
    """The interpreter and the module answer the same."""
    rego = f"{HEAD}x := {expression}\n"

    assert load_policy(rego).evaluate_json() == b'{"x":' + expected + b"}"
    said = toolkit.eval("data.t.p.x", {"p.rego": rego}, dialect=Dialect.V1, spelled=True)
    assert written(value_of(said)) == expected.decode()


@pytest.mark.parametrize(("expression", "expected"), DIFFERENT)
def test_fast_semantics_answer_differently(
    expression: str, expected: bytes, load_policy: Callable[..., Policy]
) -> None:
    """Each example is one: without the guard the answer would be wrong."""
    policy = load_policy(f"{FAST}{HEAD}x := {expression}\n", deadline=0.3)

    with contextlib.suppress(EvaluationError):
        assert policy.evaluate_json() != b'{"x":' + expected + b"}"


def test_every_guard_has_an_example(toolkit: Toolkit) -> None:
    """What the table of docs/rego.md says to differ is called above."""
    rego = HEAD + "\n".join(f"x{index} := {expression}" for index, (expression, _) in enumerate(DIFFERENT + ALIKE))
    made = toolkit.make({"p.rego": rego}, ["t/p"], dialect=Dialect.V1)
    asked = {name.removeprefix(EXACT) for name in made.builtins if name.startswith(EXACT)}

    differing = {each["name"] for each in toolkit.functions() if each.get("differs")}

    # `walk` is sorted by `sort`.
    assert differing - asked <= DEPRECATED | {"walk"}


@pytest.mark.parametrize("given", [b"null", b"1", b'"text"', b"[1]", b'{"x": {"y": 1}}', b'{"x": 5, "z": 2}', None])
def test_parts_of_any_input_can_be_replaced(given: bytes | None, load_policy: Callable[..., Policy]) -> None:
    """`with input.x.y` makes an object of an input that is none, for that expression only."""
    policy = load_policy(
        f"{HEAD}after := y if {{ y := input with input.x.y as 7 }}\n\nbefore := [y | y := input]\n"
        "\nboth := y if { y := input with input.a as 1 with input.b as 2 }\n"
    )

    answer = json.loads(policy.evaluate_json(given) or b"")

    assert answer["after"]["x"] == {"y": 7}
    assert {"a": 1, "b": 2}.items() <= answer["both"].items()
    assert answer["before"] == ([] if given is None else [json.loads(given)])


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / input", "divide by zero"),
        ('to_number("abc")', "invalid syntax"),
        ("lower(input)", "operand 1 must be string but got number"),
        ('json.unmarshal("{")', "unexpected EOF"),
    ],
)
def test_what_fails_is_undefined_and_an_error_where_strict(
    expression: str, message: str, load_policy: Callable[..., Policy]
) -> None:
    """A strict caller hears why a function of WebAssembly has no answer, in OPA's words."""
    policy = load_policy(f"{HEAD}x := {expression}\n")

    assert policy.evaluate_json(b"0") == b"{}"
    with pytest.raises(BuiltinFailed, match=message):
        policy.evaluate_json(b"0", strict=True)


def test_fast_policies_ask_the_host_nothing(load_policy: Callable[..., Policy]) -> None:
    """With fast semantics OPA's WebAssembly answers what it can by itself, also where it differs."""
    policy = load_policy(f'{FAST}{HEAD}x := json.is_valid("01")\n\ny := lower("A")\n')

    assert policy.builtins == ()
    assert policy.evaluate_json() == b'{"x":true,"y":"a"}'


def test_a_module_never_hangs_in_replace(load_policy: Callable[..., Policy]) -> None:
    """Replacing nothing ends, unless the semantics are fast, and then the deadline ends it."""
    rego = f'{HEAD}x := replace("ab", input, "-")\n'

    assert load_policy(rego).evaluate_json(b'""') == b'{"x":"-a-b-"}'
    with pytest.raises(EvaluationTimeout):
        load_policy(FAST + rego, deadline=0.2).evaluate_json(b'""')


def test_long_collections_are_sorted_fast(load_policy: Callable[..., Policy]) -> None:
    """WebAssembly sorts in quadratic time, the host does not: 30,000 numbers fit into the deadline."""
    policy = load_policy(
        f"{HEAD}x := sort(input)[0]\n\ny := [k | some k in {{k | some k in input}}][1]\n", deadline=10.0
    )

    assert policy.evaluate_json(str(list(range(30_000, 0, -1))).encode()) == b'{"x":1,"y":2}'


def test_every_function_of_webassembly_has_twins(toolkit: Toolkit) -> None:
    """The list of twins is the list of functions that OPA's compiler does not leave to the host."""
    able = {str(each["name"]): each for each in toolkit.capabilities()["builtins"]}  # type: ignore[index,call-overload,union-attr]
    lines: dict[Dialect, list[str]] = {Dialect.V1: [], Dialect.V0: []}
    for name in NATIVE:
        args = ", ".join(f"input.a{index}" for index in range(len(able[name]["decl"].get("args") or [])))  # type: ignore[index,union-attr]
        lines[Dialect.V0 if able[name].get("deprecated") else Dialect.V1].append(f"{name}({args})")

    asked = {
        name
        for dialect, calls in lines.items()
        for name in toolkit.make(
            {"p.rego": HEAD + "\n".join(f"r{index} := {call}" for index, call in enumerate(calls))},
            ["t/p"],
            dialect=dialect,
        ).builtins
    }

    assert {name.partition(".")[2] for name in asked} == set(NATIVE)
    assert asked <= TWINS


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("# METADATA\n# custom:\n#   semantics: quick\n", "semantics must be exact or fast"),
        ("# METADATA\n# scope: document\n# custom:\n#   semantics: fast\n", None),
    ],
)
def test_semantics_are_checked(head: str, message: str | None, toolkit: Toolkit) -> None:
    """A word that is none is an error with its place."""
    rego = f"{head}package t.p\n\nx := 1\n"

    if message is None:
        rego = f"package t.p\n\n{head}x := 1\n"
        message = "semantics is said of a package, not of a document"
    with pytest.raises(CompileError, match=message):
        toolkit.build({"p.rego": rego}, ["t/p"], dialect=Dialect.V1)


def test_files_that_are_compiled_together_have_the_same_semantics(toolkit: Toolkit) -> None:
    """Fast in one and exact in the other would be a guess."""
    exact = FAST.replace("fast", "exact")
    files = {"a.rego": f"{FAST}package a\n\nx := data.b.x\n", "b.rego": f"{exact}package b\n\nx := 1\n"}

    with pytest.raises(CompileError, match="semantics is exact here and fast in another file"):
        toolkit.build(files, ["a"], dialect=Dialect.V1)


def test_what_is_printed_comes_in_order(load_policy: Callable[..., Policy]) -> None:
    """Members of sets are printed as the interpreter prints them."""
    policy = load_policy('package t.p\n\nx contains v if { some v in {"c", "a", "d", "b"}; print(v) }\n')
    printed: list[str] = []

    policy.evaluate_json(printed=printed)

    assert printed == ["a", "b", "c", "d"]
