"""Rego that takes minutes or gigabytes costs its author an error, and nobody else anything."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from policy_server.model.errors import (
    CompileError,
    CompileLimit,
    EvaluationTimeout,
    MemoryExceeded,
    PublishError,
    ToolkitError,
)
from policy_server.model.policy import Dialect
from policy_server.toolkit.toolkit import Toolkit

V1 = Dialect.V1
SMALL = {"p.rego": "package a\n\nx := 1\n"}
ENDLESS = "count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i + j < 0])"


def tangled(size: int) -> str:
    """Return a rule whose expressions are all in the wrong order, which takes the compiler their number squared."""
    steps = "\n".join(f"\tx{i} := x{i + 1} + 1" for i in range(size))
    return f"package a\n\nx if {{\n{steps}\n\tx{size} := 1\n}}\n"


def test_compiler_stops_at_its_deadline(limited) -> None:
    """Rego that takes the compiler minutes is refused, saying how long it had; the toolkit works on."""
    toolkit = limited(deadline=0.5)

    with pytest.raises(CompileLimit, match=r"did not finish within 0\.5 seconds"):
        toolkit.build({"p.rego": tangled(20_000)}, ["a"], dialect=V1)
    assert toolkit.build(SMALL, ["a"], dialect=V1)


def test_compiler_stops_at_its_memory_limit(limited) -> None:
    """Rego that takes the compiler gigabytes is refused, saying how much it had; the toolkit works on."""
    toolkit = limited(memory_limit=64 << 20)
    large = ",".join(f'"{i:0100}"' for i in range(100_000))

    with pytest.raises(CompileLimit, match="more than the 64 MiB of memory"):
        toolkit.check({"p.rego": f"package a\n\nx := [{large}]\n"}, dialect=V1)
    assert toolkit.build(SMALL, ["a"], dialect=V1)


def test_request_larger_than_the_memory_is_refused(limited) -> None:
    """A source that does not even fit into the memory is a limit like any other."""
    toolkit = limited(memory_limit=64 << 20)

    with pytest.raises(CompileLimit):
        toolkit.check({"p.rego": "package a\n#" + "x" * (70 << 20)}, dialect=V1)
    assert toolkit.version()


@pytest.mark.parametrize("depth", [3_000, 200_000])
def test_deep_nesting_is_compiled_or_refused(toolkit: Toolkit, depth: int) -> None:
    """Nesting never breaks the process: what is too deep is refused."""
    source = {"p.rego": "package a\n\nx := " + "[" * depth + "]" * depth}

    if depth < 10_000:
        toolkit.check(source, dialect=V1)
    else:
        with pytest.raises(PublishError):
            toolkit.check(source, dialect=V1)
    assert toolkit.build(SMALL, ["a"], dialect=V1)


def test_evaluation_stops_at_its_deadline(limited) -> None:
    """An endless query is stopped; the toolkit works on."""
    toolkit = limited(deadline=0.5)

    with pytest.raises(EvaluationTimeout):
        toolkit.eval(ENDLESS, {}, dialect=V1)
    with pytest.raises(EvaluationTimeout):
        toolkit.test({"p_test.rego": f"package a\n\ntest_x if {ENDLESS} == 0\n"}, dialect=V1)
    assert toolkit.eval("1", {}, dialect=V1)["result"]


def test_function_stops_at_the_callers_deadline(limited) -> None:
    """One call of a function has a deadline of its own, and the memory limit."""
    toolkit = limited(memory_limit=64 << 20)

    with pytest.raises(EvaluationTimeout, match=r"numbers\.range"):
        limited().builtin("numbers.range", [b"1", b"100000000"], now_ns=0, seed=0, deadline=0.1)
    with pytest.raises(MemoryExceeded, match=r"numbers\.range"):
        toolkit.builtin("numbers.range", [b"1", b"100000000"], now_ns=0, seed=0)
    assert toolkit.builtin("plus", [b"1", b"2"], now_ns=0, seed=0) == b"3"


def test_nobody_waits_for_ever_for_an_instance(limited, twice) -> None:
    """When all instances are busy for longer than the deadline, that is the answer."""
    toolkit = limited(deadline=0.5, size=1)

    def nested(_name: str, _arguments: bytes) -> bytes:
        toolkit.version()
        return b"1"

    with pytest.raises(ToolkitError, match="busy"):
        toolkit.eval("demo.twice(1)", {}, dialect=V1, builtins=twice, host=nested)


def test_long_work_leaves_functions_alone(limited, twice) -> None:
    """While every instance for long work is busy, functions answer."""
    toolkit = limited(size=1)
    asked, answered = threading.Event(), threading.Event()

    def slow(_name: str, _arguments: bytes) -> bytes:
        asked.set()
        assert answered.wait(20)
        return b"1"

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(toolkit.eval, "demo.twice(1)", {}, dialect=V1, builtins=twice, host=slow)
        assert asked.wait(20)
        answer = toolkit.builtin("plus", [b"1", b"2"], now_ns=0, seed=0)
        answered.set()

        assert working.result()["result"]
    assert answer == b"3"


def test_many_threads_share_one_toolkit(toolkit: Toolkit) -> None:
    """Eight threads compile, evaluate, fail and call functions at once, each with its own right answer."""

    def work(number: int) -> tuple[object, ...]:
        source = {"p.rego": f"package a\n\nx := {number}\n"}
        wasm = toolkit.build(source, ["a"], dialect=V1)
        seen = toolkit.eval("data.a.x", source, dialect=V1)["result"][0]["expressions"][0]["value"]
        with pytest.raises(CompileError, match=f"p{number}.rego:2:"):
            toolkit.check({f"p{number}.rego": "package a\nx if"}, dialect=V1)
        called = [toolkit.builtin("plus", [b"%d" % number, b"1"], now_ns=0, seed=0) for _ in range(50)]
        return wasm, seen, called

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(16)))

    assert [seen for _, seen, _ in found] == list(range(16))
    assert [called for _, _, called in found] == [[b"%d" % (number + 1)] * 50 for number in range(16)]
    assert len({wasm for wasm, _, _ in found}) == 16
