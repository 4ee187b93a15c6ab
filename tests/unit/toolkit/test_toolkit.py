"""The toolkit compiles, checks, formats, parses, inspects, tests and evaluates."""

import pytest

from policy_server.model.errors import BuiltinFailed, CompileError, EvaluationTimeout, RuleConflict, ToolkitError
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit

V1, V0 = Dialect.V1, Dialect.V0

POLICY = """package a.b

import data.a.users

# METADATA
# title: Allow
# entrypoint: true
allow if {
	some user in users
	user == input.user
	print("found", user)
}

names contains x if some x in ["b", "a"]

doubled := demo.twice(input.number)
"""


def value(answer) -> object:
    """Return the value of an answer with one expression."""
    return answer["result"][0]["expressions"][0]["value"]


def test_build_is_deterministic(toolkit: Toolkit, twice) -> None:
    """The same source gives the same bytes, also on another instance."""
    made = {toolkit.build({"p.rego": POLICY}, ["a/b"], dialect=V1, builtins=twice) for _ in range(3)}
    toolkit.close()
    made.add(toolkit.build({"p.rego": POLICY}, ["a/b"], dialect=V1, builtins=twice))

    assert len(made) == 1
    assert next(iter(made)).startswith(b"\0asm")


def test_build_tells_entrypoints_and_host_functions(toolkit: Toolkit, twice) -> None:
    """Annotated entrypoints follow the given ones; its own functions ask why they failed, sets how they are sorted."""
    source = POLICY + '\nother := sprintf("%s", [regex.replace("a", "b", "c")])\nown := count([1])\n'

    built = toolkit.make({"p.rego": source}, ["a/b"], dialect=V1, builtins=twice)

    assert built.entrypoints == ("a/b", "a/b/allow")
    asked = ["demo.twice", "exact.sort", "internal.print", "regex.replace", "sprintf", "strict.count"]
    assert sorted(built.builtins) == asked


def test_build_of_a_policy_without_host_functions_needs_none(toolkit: Toolkit) -> None:
    """A policy that calls nothing lists no function."""
    assert toolkit.make({"p.rego": "package a\n\nx := 1"}, ["a"], dialect=V1).builtins == ()


def test_unknown_function_is_an_error_with_its_place(toolkit: Toolkit) -> None:
    """A function nobody has is a compile error that names file, line and column."""
    with pytest.raises(CompileError) as caught:
        toolkit.build({"p.rego": POLICY}, ["a/b"], dialect=V1)

    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("p.rego", 16, 12)
    assert "demo.twice" in problem.message
    assert str(problem) == "p.rego:16:12: undefined function demo.twice"


def test_all_files_with_syntax_errors_are_reported(toolkit: Toolkit) -> None:
    """Errors of several files come together, each with its file and line."""
    with pytest.raises(CompileError) as caught:
        toolkit.check({"p.rego": "package a\nx if", "q.rego": "package b\n\ny := ]"}, dialect=V1)

    assert {(problem.file, problem.line) for problem in caught.value.problems} == {("p.rego", 2), ("q.rego", 3)}
    assert {problem.code for problem in caught.value.problems} == {"rego_parse_error"}


def test_empty_file_is_an_error_with_its_place(toolkit: Toolkit) -> None:
    """An empty source is refused at its first line."""
    with pytest.raises(CompileError) as caught:
        toolkit.check({"p.rego": ""}, dialect=V1)

    assert str(caught.value.problems[0]) == "p.rego:1:1: empty module"


def test_unknown_entrypoint_is_the_authors_error(toolkit: Toolkit) -> None:
    """An entrypoint that no rule has is a compile error, not a broken toolkit."""
    with pytest.raises(CompileError, match="does not refer to a rule"):
        toolkit.build({"p.rego": "package a\nx := 1"}, ["a/nothing"], dialect=V1)


def test_both_dialects(toolkit: Toolkit) -> None:
    """Old Rego compiles as v0 and is an error as v1."""
    old = {"p.rego": "package a\n\nallow { input.x == 1 }\n"}

    assert toolkit.build(old, ["a"], dialect=V0).startswith(b"\0asm")
    with pytest.raises(CompileError, match="`if` keyword is required"):
        toolkit.build(old, ["a"], dialect=V1)


def test_strict_check_refuses_what_is_unused(toolkit: Toolkit) -> None:
    """An unused import passes the check and fails the strict one."""
    source = {"p.rego": "package a\n\nimport data.unused\n\nx := 1\n"}

    toolkit.check(source, dialect=V1)
    with pytest.raises(CompileError, match=r"p\.rego:3:1: import data\.unused unused"):
        toolkit.check(source, dialect=V1, strict=True)


def test_check_uses_schemas(toolkit: Toolkit) -> None:
    """With a schema of the input, a misspelt field is a type error."""
    source = "# METADATA\n# schemas:\n# - input: schema.input\npackage a\n\nx if input.usr == 1\n"
    schema = {"input": {"type": "object", "properties": {"user": {}}, "additionalProperties": False}}

    with pytest.raises(CompileError, match=r"p\.rego:6:6: undefined ref: input\.usr"):
        toolkit.check({"p.rego": source}, dialect=V1, schemas=schema)


def test_given_capabilities_replace_opas_own(toolkit: Toolkit) -> None:
    """What the capabilities leave out cannot be called."""
    able = dict(toolkit.capabilities())
    able["builtins"] = [each for each in able["builtins"] if each["name"] != "http.send"]
    source = {"p.rego": 'package a\n\nx := http.send({"url": "x", "method": "get"})'}

    toolkit.check(source, dialect=V1)
    with pytest.raises(CompileError, match=r"undefined function http\.send"):
        toolkit.check(source, dialect=V1, capabilities=able)


def test_fmt(toolkit: Toolkit) -> None:
    """Formatting lays source out as OPA does, twice the same."""
    formatted = toolkit.fmt("package a\nallow   if {input.x==1\n input.y}", dialect=V1)

    assert formatted == "package a\n\nallow if {\n\tinput.x == 1\n\tinput.y\n}\n"
    assert toolkit.fmt(formatted, dialect=V1) == formatted


def test_parse(toolkit: Toolkit) -> None:
    """Parsing answers OPA's syntax tree."""
    tree = toolkit.parse("package a\nx := 1.50", dialect=V1)

    assert [part["value"] for part in tree["package"]["path"]] == ["data", "a"]
    assert tree["rules"][0]["head"]["name"] == "x"


def test_inspect(toolkit: Toolkit) -> None:
    """Inspecting tells package, imports, rules and annotated entrypoints, without compiling."""
    answer = toolkit.inspect({"p.rego": POLICY + "\nf(x) := x\n\ndefault other := 1\n"}, dialect=V1)

    file = answer["files"]["p.rego"]
    assert file["package"] == ["a", "b"]
    assert file["imports"] == ["data.a.users"]
    assert [rule["path"] for rule in file["rules"]] == [["allow"], ["names"], ["doubled"], ["f"], ["other"]]
    assert [rule["path"][0] for rule in file["rules"] if rule["function"]] == ["f"]
    assert [rule["path"][0] for rule in file["rules"] if rule["default"]] == ["other"]
    assert answer["entrypoints"] == ["a/b/allow"]
    assert answer["annotations"][0]["annotations"]["title"] == "Allow"


def test_eval_with_data_input_print_and_host(toolkit: Toolkit, twice, host) -> None:
    """Evaluation sees data and input, collects print output, sorts sets and calls the host."""
    answer = toolkit.eval(
        "data.a.b",
        {"p.rego": POLICY},
        data={"a": {"users": ["u"]}},
        input={"user": "u", "number": 21},
        dialect=V1,
        builtins=twice,
        host=host,
    )

    assert value(answer) == {"allow": True, "doubled": 42, "names": ["a", "b"]}
    assert answer["print"] == [{"message": "found u", "file": "p.rego", "row": 11}]
    assert answer["errors"] == []


def test_eval_tells_undefined_input_from_null(toolkit: Toolkit) -> None:
    """No input is undefined; null is a value."""
    assert toolkit.eval("input", {}, dialect=V1)["result"] == []
    assert value(toolkit.eval("input", {}, input=None, dialect=V1)) is None


def test_what_python_cannot_read_is_an_error(toolkit: Toolkit) -> None:
    """Python refuses integers of more than 4300 digits."""
    with pytest.raises(ToolkitError, match=r"OPA's answer cannot be read: .*4300 digits"):
        toolkit.eval("bits.lsh(1, 15000)", {}, dialect=V1)


def test_eval_keeps_every_digit_where_wanted(toolkit: Toolkit) -> None:
    """A fraction remembers how OPA wrote it."""
    found = value(toolkit.eval("10 / 3", {}, dialect=V1, spelled=True))

    assert found.text == "3.3333333333333333333"


def test_eval_keeps_big_numbers(toolkit: Toolkit) -> None:
    """Integers beyond 64 bits come back exactly."""
    big = 123456789012345678901234567890

    assert value(toolkit.eval("input.n", {}, input={"n": big}, dialect=V1)) == big


@pytest.mark.parametrize(("number", "expected"), [(0, []), (-1, ["demo.twice: negative"])])
def test_host_answers_undefined_or_fails(toolkit: Toolkit, twice, host, number: int, expected: list[str]) -> None:
    """A host function may have no value; its failure is listed and otherwise the same."""
    answer = toolkit.eval(
        "data.a.b.doubled", {"p.rego": POLICY}, input={"number": number}, dialect=V1, builtins=twice, host=host
    )

    assert answer["result"] == []
    assert [error["message"] for error in answer["errors"]] == expected


def test_host_failure_is_an_error_where_strict(toolkit: Toolkit, twice, host) -> None:
    """With strict errors a failing host function fails the evaluation, with its place."""
    with pytest.raises(BuiltinFailed, match=r"p\.rego:16:12: demo\.twice: negative"):
        toolkit.eval(
            "data.a.b.doubled",
            {"p.rego": POLICY},
            input={"number": -1},
            dialect=V1,
            builtins=twice,
            host=host,
            strict_errors=True,
        )


def test_what_the_host_raises_comes_out_unchanged(toolkit: Toolkit, twice) -> None:
    """An error of the host that is not the policy's stops the evaluation; the toolkit works on."""

    def late(_name: str, _arguments: bytes) -> bytes:
        raise EvaluationTimeout("too late")

    with pytest.raises(EvaluationTimeout, match="too late"):
        toolkit.eval("data.a.b.doubled", {"p.rego": POLICY}, input={"number": 1}, dialect=V1, builtins=twice, host=late)
    assert value(toolkit.eval("1 + 1", {}, dialect=V1)) == 2


def test_without_a_host_there_is_no_network(toolkit: Toolkit) -> None:
    """A network function is unavailable, and says so, unless the host answers it."""
    query = 'http.send({"method": "get", "url": "http://127.0.0.1:1"}).status_code'

    alone = toolkit.eval(query, {}, dialect=V1)
    hosted = toolkit.eval(query, {}, dialect=V1, host=lambda name, _: b'{"status_code": 200}' if name else None)

    assert alone["result"] == []
    assert alone["errors"][0]["message"] == "http.send: not available in the toolkit"
    assert value(hosted) == 200


def test_conflicting_rules_are_named(toolkit: Toolkit) -> None:
    """Two values for one rule are a conflict, with file and line."""
    source = "package a\n\nx := 1 if input.y\n\nx := 2 if input.y\n"

    with pytest.raises(RuleConflict, match=r"p\.rego:5:1: "):
        toolkit.eval("data.a.x", {"p.rego": source}, input={"y": True}, dialect=V1)


@pytest.mark.parametrize(("level", "operations"), [("full", {"Enter", "Eval", "Exit"}), ("notes", {"Note"})])
def test_trace(toolkit: Toolkit, level: str, operations: set[str]) -> None:
    """A trace has events with place, source text and local variables, and OPA's own text."""
    source = 'package a\n\nx if {\n\ty := input.n\n\ttrace("here")\n\ty > 1\n}\n'

    answer = toolkit.eval("data.a.x", {"p.rego": source}, input={"n": 2}, dialect=V1, trace=level)

    assert operations <= {event["op"] for event in answer["trace"]}
    notes = [event["message"] for event in answer["trace"] if event["op"] == "Note"]
    assert notes == ["here"]
    assert "p.rego:" in answer["trace_text"]
    if level == "full":
        last = next(event for event in answer["trace"] if event["row"] == 6)
        assert (last["text"], last["locals"]) == ("y > 1", {"y": "2"})


def test_trace_of_failures(toolkit: Toolkit) -> None:
    """The failing expression is in the trace of failures."""
    source = "package a\n\nx if {\n\tinput.n > 1\n}\n"

    answer = toolkit.eval("data.a.x", {"p.rego": source}, input={"n": 0}, dialect=V1, trace="fails")

    assert ("Fail", 4) in {(event["op"], event["row"]) for event in answer["trace"]}


def test_eval_coverage(toolkit: Toolkit) -> None:
    """Coverage tells which lines were evaluated."""
    source = "package a\n\nx if input.n > 1\n\ny := 1\n"

    answer = toolkit.eval("data.a.x", {"p.rego": source}, input={"n": 2}, dialect=V1, coverage=True)

    report = answer["coverage"]["files"]["p.rego"]
    assert {each["start"]["row"] for each in report["not_covered"]} == {5}


def test_tests_pass_fail_break_and_are_skipped(toolkit: Toolkit, twice, host) -> None:
    """Running tests tells each result with its place, output and coverage."""
    tests = """package a.b_test

import data.a.b

test_allowed if b.allow with input as {"user": "u"}

test_wrong if {
	print("hello")
	b.allow with input as {"user": "v"}
}

test_host if b.doubled == 42 with input as {"number": 21}

todo_test_later if false

test_conflict if b.f(1)
"""
    modules = {"p.rego": POLICY + "\nf(x) := x if x\n\nf(x) := 2 if x\n", "p_test.rego": tests}

    answer = toolkit.test(modules, data={"a": {"users": ["u"]}}, dialect=V1, coverage=True, builtins=twice, host=host)

    assert [(each["name"], each["status"]) for each in answer["results"]] == [
        ("test_allowed", "pass"),
        ("test_wrong", "fail"),
        ("test_host", "pass"),
        ("todo_test_later", "skip"),
        ("test_conflict", "error"),
    ]
    assert (answer["passed"], answer["failed"], answer["errored"], answer["skipped"]) == (2, 1, 1, 1)
    assert answer["results"][1]["output"] == "hello\n"
    assert answer["results"][1]["row"] == 7
    assert answer["results"][4]["problems"][0]["code"] == "eval_conflict_error"
    assert 0 < answer["coverage"]["coverage"] <= 100


def test_some_tests_can_be_chosen(toolkit: Toolkit) -> None:
    """Only tests whose name fits the expression run."""
    source = {"p_test.rego": "package a\n\ntest_one if true\n\ntest_two if false\n"}

    answer = toolkit.test(source, dialect=V1, run="one")

    assert [each["name"] for each in answer["results"]] == ["test_one"]


def test_capabilities_and_version(toolkit: Toolkit) -> None:
    """The toolkit says which OPA it is and what that can do."""
    assert toolkit.version()["opa"].startswith("1.22.")
    assert {"http.send", "regex.match"} <= {each["name"] for each in toolkit.capabilities()["builtins"]}


def test_test_rules_become_entrypoints(toolkit: Toolkit) -> None:
    """Tests of one name get names of their own; what is left to do and what has arguments has no entrypoint."""
    source = """package a_test

test_one if true

test_one if false

test_cases[n] if some n in [1]

test_f(x) if x

todo_test_later if true

deep.test_rule if sprintf("%d", [1]) == "1"
"""

    built = toolkit.make_tests({"t.rego": source}, dialect=V1)

    assert built.wasm.startswith(b"\0asm")
    assert built.builtins == ("sprintf",)
    assert [(each.row, each.entrypoint, each.cases, each.reason != "") for each in built.tests] == [
        (3, "a_test/test_one", False, False),
        (5, "a_test/test_one#01", False, False),
        (7, "a_test/test_cases", True, False),
        (9, "a_test/test_f", False, True),
        (13, "a_test/deep/test_rule", False, False),
    ]


def test_some_test_rules_may_be_chosen(toolkit: Toolkit) -> None:
    """By their places; without any there is no module."""
    modules = {"t.rego": 'package t\n\ntest_a if true\n\ntest_b if sprintf("x", []) == "x"\n'}

    assert toolkit.make_tests(modules, dialect=V1, only=[("t.rego", 3, 1)]).builtins == ()
    assert toolkit.make_tests(modules, dialect=V1, only=[("t.rego", 4, 1)]).wasm == b""


def test_data_and_input_may_be_text(toolkit: Toolkit) -> None:
    """They go to OPA as they are; what is no JSON is an error of the toolkit's user."""
    found = toolkit.eval("[data.n, input]", {}, data=b'{"n": 1.50}', input=b'{"x": "\\u00e9"}', dialect=V1)

    assert value(found) == [1.5, {"x": "é"}]
    with pytest.raises(ToolkitError):
        toolkit.eval("1", {}, data=b"{", dialect=V1)


def test_the_time_of_an_evaluation_can_be_given(toolkit: Toolkit) -> None:
    """As it was for another one."""
    assert value(toolkit.eval("time.now_ns()", {}, now_ns=1_700_000_000_000_000_001, dialect=V1)) == (
        1_700_000_000_000_000_001
    )


def test_names_are_looked_for_in_a_package(toolkit: Toolkit) -> None:
    """And in what is imported."""
    modules = {"a.rego": "package a\n\nx := 1\n", "b.rego": "package b\n\ny := 2\n"}

    found = toolkit.eval("x + other", modules, package="a", imports=["data.b.y as other"], dialect=V1)

    assert value(found) == 3


def test_a_trace_may_be_cut(toolkit: Toolkit) -> None:
    """After a number of events; as text alone when the rest is not wanted."""
    whole = toolkit.eval("[x | some x in [1, 2, 3]]", {}, dialect=V1, trace="full", trace_limit=1000)
    cut = toolkit.eval("[x | some x in [1, 2, 3]]", {}, dialect=V1, trace="full", trace_limit=2, text_only=True)

    assert (whole["trace_cut"], cut["trace_cut"]) == (False, True)
    assert str(whole["trace_text"]).startswith(str(cut["trace_text"]).splitlines()[0])
    assert {"result", "trace"}.isdisjoint(cut)


def test_printing_is_bounded(toolkit: Toolkit) -> None:
    """A loop cannot fill the memory with what it prints."""
    modules = {"a.rego": "package a\n\nx if {\n\tsome n in numbers.range(1, 2000)\n\tprint(n)\n\tn == 0\n}\n"}

    found = toolkit.eval("data.a.x", modules, dialect=V1)

    assert len(found["print"]) == 1000


def test_a_query_is_measured(toolkit: Toolkit) -> None:
    """As often as was asked for, or until the time is over."""
    assert len(toolkit.bench("1 + 1", {}, dialect=V1, count=5, seconds=60)) == 5
    assert toolkit.bench("1 + 1", {}, dialect=V1, count=5, seconds=0) == []
    assert all(each > 0 for each in toolkit.bench("data.x", {}, data={"x": 1}, dialect=V1, count=5, seconds=60))
