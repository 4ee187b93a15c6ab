"""Tests in WebAssembly: what is n/a, and how verdicts are joined."""

import pytest

from policy_server.authoring.interpreter import Unit
from policy_server.authoring.runtime import Runtime, with_absent
from policy_server.authoring.verdict import Case, Status, Trial, Verdict
from policy_server.builtins.call import Call
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import UnknownBuiltin
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit

PASS, FAIL = Status.PASS, Status.FAIL


def trial(name: str, row: int, status: Status = PASS, cases: tuple[Case, ...] = ()) -> Trial:
    """Return a test that the interpreter ran."""
    return Trial("t", name, "t.rego", row, 1, Verdict(status), Verdict(Status.UNAVAILABLE), cases)


def load(wasm: bytes, data: bytes | None, registry: Registry) -> Policy:
    """Load a module."""
    return Policy.load(wasm, data=data, registry=registry, size=1)


@pytest.fixture
def runtime(toolkit: Toolkit) -> Runtime:
    """Return the runtime with its own defaults."""
    return Runtime(toolkit, Registry.discover().bind(toolkit), load, 10.0)


def test_a_function_nobody_has_says_so_when_it_is_called(toolkit: Toolkit) -> None:
    """A module that names it is loaded all the same, for tests that replace it."""
    functions = with_absent(Registry.discover().bind(toolkit), ["nosuch.function", "sprintf"], toolkit).functions(
        {0: "nosuch.function", 1: "sprintf"}
    )

    with pytest.raises(UnknownBuiltin, match=r"it calls nosuch\.function, which this server does not have"):
        functions[0](Call({}, 0, 0.0), [])


def test_a_test_that_calls_what_is_not_there_is_unavailable(toolkit: Toolkit) -> None:
    """With the reason; the test that replaces the function is run."""

    def bare(wasm: bytes, data: bytes | None, registry: Registry) -> Policy:
        absent = with_absent(Registry.discover().bind(toolkit), ["demo.nosuch"], toolkit).functions({0: "demo.nosuch"})[
            0
        ]

        def refuse(*_: object) -> None:
            absent(Call({}, 0, 0.0), [])

        return load(wasm, data, Registry.discover({"sprintf": refuse}).bind(toolkit))

    unit = Unit({"t.rego": 'package t\n\ntest_a if sprintf("x", []) == "x"\n\ntest_b if true\n'})

    found = Runtime(toolkit, Registry.discover().bind(toolkit), bare, 10.0).run(
        unit, [trial("test_a", 3), trial("test_b", 5)]
    )

    assert [each.wasm.status for each in found] == [Status.UNAVAILABLE, PASS]
    assert found[0].wasm.reason == "it calls demo.nosuch, which this server does not have"
    assert found[0].is_good


def test_what_opa_does_not_compile_is_unavailable(runtime: Runtime) -> None:
    """With OPA's words; each test is compiled alone before it is given up."""
    source = "package t\n\ntest_a if true\n\ntest_b if nosuch(1)\n"

    found = runtime.run(Unit({"t.rego": source}), [trial("test_a", 3), trial("test_b", 5)])

    assert [each.name for each in found] == ["test_a", "test_b"]
    assert {each.wasm.status for each in found} == {Status.UNAVAILABLE}
    assert all("undefined function nosuch" in each.wasm.reason for each in found)


def test_verdicts_are_the_modules_own(runtime: Runtime) -> None:
    """Whatever the interpreter said."""
    source = "package t\n\ntest_a if false\n\ntest_c[n] if some n in [1, 2]\n"
    told = (Case("1", PASS, Status.UNAVAILABLE), Case("3", PASS, Status.UNAVAILABLE))

    found = runtime.run(Unit({"t.rego": source}), [trial("test_a", 3), trial("test_c", 5, cases=told)])

    assert [(each.wasm.status, each.agrees, each.is_good) for each in found] == [(FAIL, False, False)] * 2
    assert found[1].cases == (Case("1", PASS, PASS), Case("2", FAIL, PASS), Case("3", PASS, FAIL))


def test_skipped_tests_are_not_run(runtime: Runtime) -> None:
    """They need no module."""
    skipped = Trial("t", "todo_test_a", "t.rego", 3, 1, Verdict(Status.SKIP), Verdict(Status.SKIP))

    assert runtime.run(Unit({"t.rego": "package t\n\ntodo_test_a if true\n"}, dialect=Dialect.V1), [skipped]) == [
        skipped
    ]
