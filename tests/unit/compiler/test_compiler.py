"""Sources become compiled policies, or errors that their authors can use."""

import hashlib

import pytest

from policy_server.compiler.compiler import RegoCompiler, relocated
from policy_server.engine.policy import Policy
from policy_server.model.errors import CompileError, Problem, WrongPackage
from policy_server.model.policy import Dialect, PolicyId, PolicySource
from policy_server.toolkit.toolkit import Toolkit

HEADER = {
    "name": "external.http.header",
    "decl": {"type": "function", "args": [{"type": "string"}], "result": {"type": "string"}},
    "nondeterministic": True,
}


@pytest.fixture
def compiler(toolkit: Toolkit) -> RegoCompiler:
    """Return a compiler that knows one function of the product."""
    return RegoCompiler(toolkit, [HEADER])


def source(rego: str, *, group: str = "a", name: str = "b", dialect: Dialect = Dialect.AUTO) -> PolicySource:
    """Make the source of a policy."""
    return PolicySource(PolicyId("r", group, name, "1.0"), rego, dialect=dialect)


def test_manifest_is_deterministic(compiler: RegoCompiler) -> None:
    """The same source gives the same module and the same manifest, with digests that fit."""
    text = source('package a.b\n\nx := external.http.header("X")\n\ny := sprintf("%d", [1])\n')

    first, second = compiler.compile(text), compiler.compile(text)

    assert first == second
    assert first.manifest.digest == hashlib.sha256(first.wasm).hexdigest()
    assert first.manifest.source_digest == hashlib.sha256(text.rego.encode()).hexdigest()
    assert first.manifest.builtins == ("external.http.header", "sprintf")
    assert first.manifest.opa_version.startswith("1.22.")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("x := 1", ("a/b",)),
        ("decision := 1\n\nexplain := decision\n\nother := explain", ("a/b", "a/b/decision", "a/b/explain")),
        ("explain := 1", ("a/b", "a/b/explain")),
        ("decision.result := 1", ("a/b", "a/b/decision")),
        ("default decision := 1", ("a/b", "a/b/decision")),
        ("decision(x) := x", ("a/b",)),
        ("# METADATA\n# entrypoint: true\nx := 1\n\ndecision := 2", ("a/b", "a/b/decision", "a/b/x")),
        ("# METADATA\n# entrypoint: true\ndecision := 2", ("a/b", "a/b/decision")),
    ],
)
def test_entrypoints(compiler: RegoCompiler, rules: str, expected: tuple[str, ...]) -> None:
    """The package comes first, then decision and explain where they exist, then the annotated rules."""
    assert compiler.compile(source(f"package a.b\n\n{rules}\n")).manifest.entrypoints == expected


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("package a.b\n\nallow if input.x == 1\n", Dialect.V1),
        ("package a.b\n\nallow { input.x == 1 }\n\ndefault deny = false\n", Dialect.V0),
        ("package a.b\n\nnames[x] { x := input.names[_] }\n", Dialect.V0),
        ("package a.b\n\ndata { input.x == 1 }\n", Dialect.V0),
        ("package a.b\n\nallow = true\n", Dialect.V1),
        ("package a.b\n\n_ := input.x\n", Dialect.V1),
        ("package a.b\n\n_ { input.x }\n", Dialect.V0),
        ("package a.b\n\nf(x) := x\n", Dialect.V1),
        ("package a.b\n\nf(x) = y { y := x }\n", Dialect.V0),
        ("package a.b\n\nimport rego.v1\n\nallow if input.x\n", Dialect.V1),
        ("package a.b\n\nimport future.keywords.if\n\nallow if { input.x }\n\nold { true }\n", Dialect.V0),
    ],
)
def test_auto_finds_the_dialect(compiler: RegoCompiler, text: str, dialect: Dialect) -> None:
    """Today's Rego is compiled as v1, every old form as v0."""
    assert compiler.compile(source(text)).manifest.dialect is dialect


def test_fixed_dialect_is_kept(compiler: RegoCompiler) -> None:
    """A policy that is to be v0 is compiled as v0 even where v1 would do, and the other way round."""
    assert compiler.compile(source("package a.b\n\nx = 1\n", dialect=Dialect.V0)).manifest.dialect is Dialect.V0
    with pytest.raises(CompileError, match="`if` keyword"):
        compiler.compile(source("package a.b\n\nx { true }\n", dialect=Dialect.V1))


def test_errors_are_those_of_v1(compiler: RegoCompiler) -> None:
    """Where neither dialect compiles, the author sees what today's Rego says, with its place."""
    with pytest.raises(CompileError) as caught:
        compiler.compile(source("package a.b\n\nx if other.call(1)\n\nz if unknown.call(1)\n"))

    assert [str(problem) for problem in caught.value.problems] == [
        "policy.rego:3:6: undefined function other.call",
        "policy.rego:5:6: undefined function unknown.call",
    ]


def test_undeclared_function_is_an_error(toolkit: Toolkit) -> None:
    """A function that this server does not have is found when the policy is compiled, not when it is called."""
    with pytest.raises(CompileError, match=r"policy\.rego:3:6: undefined function external\.http\.header"):
        RegoCompiler(toolkit, []).compile(source('package a.b\n\nx := external.http.header("X")\n'))


@pytest.mark.parametrize(
    ("package", "shown"), [("a.c", "a.c"), ("a.bc", "a.bc"), ("a", "a"), ("b.a", "b.a"), ('a["b-c"]', "a.b-c")]
)
def test_wrong_package_is_named_with_the_right_one(compiler: RegoCompiler, package: str, shown: str) -> None:
    """The message has the package that was found, the one that is demanded, and the place."""
    with pytest.raises(WrongPackage) as caught:
        compiler.compile(source(f"# a comment\n\npackage {package}\n\nx := 1\n"))

    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("policy.rego", 3, 1)
    assert problem.message == f"The package is {shown}, but the path a/b demands a.b."


def test_a_package_below_is_a_member_of_the_document(compiler: RegoCompiler) -> None:
    """A policy whose only package lies below its own is asked for its own, and answers the other one nested."""
    compiled = compiler.compile(source("package a.b.c\n\nx := 1\n\ndecision := 2\n"))

    assert compiled.manifest.entrypoints == ("a/b",)
    assert Policy.load(compiled.wasm).evaluate() == {"c": {"decision": 2, "x": 1}}


@pytest.mark.parametrize(("group", "name", "package"), [("a", "b-c", 'a["b-c"]'), ("a.b", "c", "a.b.c")])
def test_odd_names(compiler: RegoCompiler, group: str, name: str, package: str) -> None:
    """Names that are no Rego words can be written with brackets; dots part groups."""
    compiled = compiler.compile(source(f"package {package}\n\nx := 1\n", group=group, name=name))

    assert compiled.manifest.entrypoints == (f"{group}.{name}".replace(".", "/"),)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "package a.b\n", "\0", "package a.b\n\nx := \ud800"])
def test_sources_without_rules_are_refused(compiler: RegoCompiler, text: str) -> None:
    """What can answer nothing is an error that names the file."""
    with pytest.raises(CompileError) as caught:
        compiler.compile(source(text))
    assert caught.value.problems[0].file == "policy.rego"


def test_half_a_character_in_a_comment_is_harmless(compiler: RegoCompiler) -> None:
    """A source that came as JSON may hold a lone surrogate; it compiles, or fails, like any other."""
    assert compiler.compile(source("package a.b\n\nx := 1 # \ud800\n")).wasm


def test_problems_get_the_path_of_their_author() -> None:
    """Problems of the source get its path; others keep theirs."""
    problems = [Problem("one", "policy.rego", 1, 2), Problem("two", "other.rego", 3, 4)]

    moved = relocated(problems, "rego/a/b/1.0/policy.rego")

    assert [str(problem) for problem in moved] == ["rego/a/b/1.0/policy.rego:1:2: one", "other.rego:3:4: two"]


def test_a_function_nobody_answers_is_an_error_with_its_place(toolkit: Toolkit) -> None:
    """OPA knows http.send, but where nobody can answer it the author learns so at once."""
    compiler = RegoCompiler(toolkit, [HEADER], {"http.send"})

    with pytest.raises(CompileError) as caught:
        compiler.compile(source('package a.b\n\nx := http.send({"method": "get", "url": "https://a.example"})\n'))

    assert [(each.line, "http.send" in each.message) for each in caught.value.problems] == [(3, True)]


def test_a_package_of_functions_alone_compiles(toolkit: Toolkit) -> None:
    """Its document is empty, which is an answer."""
    compiled = RegoCompiler(toolkit, []).compile(source("package a.b\n\nf(x) := x + 1\n"))

    assert compiled.manifest.entrypoints == ("a/b",)
