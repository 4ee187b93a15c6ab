"""One instance: OPA's ABI, on both ways of calling it."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
import wasmtime

from policy_server.model.errors import (
    EvaluationAborted,
    EvaluationError,
    EvaluationTimeout,
    EvaluationTrapped,
    InvalidJson,
    MemoryExceeded,
    ResultTooLarge,
    RuleConflict,
)
from policy_server.wasm import instance as instance_room
from policy_server.wasm.engine import Runtime
from policy_server.wasm.instance import Instance
from policy_server.wasm.module import Module
from policy_server.wasm.text import to_json

from .samples import EVERYTHING, fake

HOST = """package t.p

# METADATA
# entrypoint: true
asked := external.http.header(input.name)

# METADATA
# entrypoint: true
kinds := sprintf("%v", [input])

# METADATA
# entrypoint: true
many := count([x | some i in numbers.range(1, input.times); x := external.http.header(sprintf("%d", [i]))])
"""

LIMIT = 64 << 20

NO_END = "(memory.fill (i32.const 4096) (i32.const 65) (i32.const 126976)) i32.const 4096"

SCRIBBLE = "(i32.store (i32.const 64) (i32.const 42)) i32.const 32"

START = "(func $s (i32.store (i32.const 8) (i32.const 1024))) (start $s)"

MIXED = [None, True, 1, "a", "b", [1], {"k": 1}, [1, 2]]

ODD = {
    "[1,2,3]": "set",
    "[2,1]": "array",
    '{"k":1}': "object",
    "1": "number",
    "null": "null",
    "s": "string",
    "true": "true",
}


@pytest.fixture(scope="module", params=["unchecked", "checked"])
def made_by(request: pytest.FixtureRequest) -> Runtime:
    """Return a runtime of each kind; everything below holds for both."""
    return Runtime(checked=request.param == "checked")


@pytest.fixture(scope="module")
def module(made_by: Runtime, compile_rego: Callable[..., bytes]) -> Module:
    """Return the module with one rule for each thing that can happen."""
    return Module(wasmtime.Module(made_by.engine, compile_rego(EVERYTHING)), "digest", made_by)


@pytest.fixture(scope="module")
def host_module(made_by: Runtime, compile_rego: Callable[..., bytes]) -> Module:
    """Return a module that calls the host."""
    return Module(wasmtime.Module(made_by.engine, compile_rego(HOST)), "host", made_by)


@pytest.fixture
def start(module: Module) -> Callable[..., Instance[None]]:
    """Return a function that starts an instance with some data."""

    def make(data: bytes = b'{"doc": {"k": [1, 2]}}', memory_limit: int = LIMIT) -> Instance[None]:
        made: Instance[None] = Instance(module, {}, memory_limit=memory_limit)
        made.load_data(data)
        return made

    return make


def _ask(
    instance: Instance[None], rule: str, text: bytes | None = None, *, module: Module, seconds: float = 60.0
) -> object:
    answer = instance.evaluate(module.entrypoints[f"t/p/{rule}"], text, None, until=time.monotonic() + seconds)
    if answer == b"set()":
        return "undefined"
    return json.loads(to_json(answer[len(b'{{"result": ') : -2]))


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("plain", None, {"a": [True, None, "x y"], "b": 1, "c": {"y": [], "z": {}}}),
        ("sets", None, {"mixed": MIXED, "none": [], "numbers": [1, 2.5, 3, 10]}),
        ("odd", None, ODD),
        ("spelled", None, [1.5, 100, 123456789012345678901234567890, 0.1, -0.5, 100]),
        ("bytes", None, "\ufffd\ufffdA\ufffd"),
        ("document", None, {"k": [1, 2]}),
        ("echo", b'{"a": "\\u0000\xc3\xa9"}', {"a": "\0é"}),
        ("echo", b"null", None),
        ("echo", None, "undefined"),
        ("missing", b"{}", "undefined"),
        ("echo", b'{"x": 1, "x": 2}', {"x": 2}),
        ("echo", b"\n [ 1 ]\t", [1]),
    ],
)  # fmt: skip
def test_rules_answer(
    start: Callable[..., Instance[None]], module: Module, rule: str, text: bytes | None, expected: object
) -> None:
    """Values, sets, odd keys, exact numbers, no input, null input: each comes back as OPA has it."""
    instance = start()

    assert expected == _ask(instance, rule, text, module=module)
    assert instance.broken is False
    instance.close()


@pytest.mark.parametrize(
    ("rule", "text", "error", "message"),
    [
        ("conflict", b'{"both": true}', RuleConflict, "policy.rego:"),
        ("object_conflict", b'{"values": [1, 2]}', RuleConflict, "object keys must be unique"),
        ("abort", None, EvaluationAborted, "aborted"),
        ("hungry", None, MemoryExceeded, "memory"),
        ("replaced", b"null", EvaluationTrapped, "trapped"),
        ("echo", b"[" * 50_000 + b"]" * 50_000, EvaluationTrapped, "nest too deeply"),
        ("echo", b'"' + b"a" * LIMIT + b'"', MemoryExceeded, "memory"),
        ("long", b'{"text": "' + b"a" * 100_000 + b'", "times": 1000}', MemoryExceeded, "memory"),
    ],
)
def test_what_stops_a_module_has_its_own_error(
    start: Callable[..., Instance[None]],
    module: Module,
    rule: str,
    text: bytes | None,
    error: type[EvaluationError],
    message: str,
) -> None:
    """Conflicts, aborts, traps and memory each raise their class, and the instance counts as broken."""
    instance = start()

    with pytest.raises(error, match=message):
        _ask(instance, rule, text, module=module)

    assert instance.broken is True
    instance.close()


def test_a_conflict_names_its_place(start: Callable[..., Instance[None]], module: Module) -> None:
    """A rule conflict says in which file, line and column."""
    instance = start()

    with pytest.raises(RuleConflict) as caught:
        _ask(instance, "conflict", b'{"both": true}', module=module)

    (problem,) = caught.value.problems
    line = EVERYTHING.splitlines().index("conflict := 2 if input.both") + 1
    assert ("policy.rego", line, 1, "eval_conflict_error") == (problem.file, problem.line, problem.column, problem.code)
    instance.close()


def test_an_endless_policy_is_stopped(start: Callable[..., Instance[None]], module: Module) -> None:
    """Nothing outlives its deadline, and nothing that finishes early is hurt by it."""
    instance = start()

    with pytest.raises(EvaluationTimeout):
        _ask(instance, "endless", module=module, seconds=0.05)

    assert instance.broken is True
    instance.close()


def test_an_interrupt_in_a_builtin_is_raised(host_module: Module) -> None:
    """Even what is no Exception passes by the module and reaches the caller."""

    def interrupt(_: object, __: Sequence[bytes]) -> bytes | None:
        raise KeyboardInterrupt

    instance = _host(host_module, {"external.http.header": interrupt})

    with pytest.raises(KeyboardInterrupt):
        _ask(instance, "asked", b'{"name": "a"}', module=host_module)

    assert instance.broken is True
    instance.close()


def _first(_: object, args: Sequence[bytes]) -> bytes | None:
    return b'"h%s"' % args[1][1:-1]


def _nobody(_: object, __: Sequence[bytes]) -> bytes | None:
    return None


def _host(module: Module, functions: Mapping[str, Callable[[None, Sequence[bytes]], bytes | None]]) -> Instance[None]:
    answered = {number: functions.get(name, _nobody) for number, name in module.builtins.items()}
    made: Instance[None] = Instance(module, answered, memory_limit=LIMIT)
    made.load_data(b"{}")
    return made


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'"value"', "value"),
        (None, "undefined"),
        (b"{1, 2}", [1, 2]),
        (b'"' + b"x" * 100_000 + b'"', "x" * 100_000),
        (b"not rego", "undefined"),
    ],
)
def test_the_host_answers_builtins(host_module: Module, answer: bytes | None, expected: object) -> None:
    """Short and long answers arrive, no answer is undefined, and the arguments are value text."""
    seen: list[Sequence[bytes]] = []

    def header(_: object, args: Sequence[bytes]) -> bytes | None:
        seen.append(args)
        return answer

    instance = _host(host_module, {"external.http.header": header})

    assert expected == _ask(instance, "asked", b'{"name": "X-Key"}', module=host_module)
    assert seen == [[b'"X-Key"']]
    instance.close()


def test_arguments_keep_sets_and_numbers(host_module: Module) -> None:
    """Builtins see Rego values as they are: long ones, with exact numbers."""
    seen: list[bytes] = []

    def sprintf(_: object, args: Sequence[bytes]) -> bytes | None:
        seen.append(args[1])
        return b'"done"'

    instance = _host(host_module, {"sprintf": sprintf})
    text = b'{"long": "' + b"y" * 5000 + b'", "number": 1.50}'

    assert _ask(instance, "kinds", text, module=host_module) == "done"
    assert b"1.50" in seen[0]
    assert b"y" * 5000 in seen[0]
    instance.close()


def test_many_builtin_calls_do_not_add_up(host_module: Module, made_by: Runtime) -> None:
    """What one evaluation's calls leave behind is gone with the evaluation."""
    times = 50 if made_by.checked else 2000
    instance = _host(
        host_module,
        {"external.http.header": lambda _, args: args[0], "sprintf": _first},
    )
    sizes = []
    for _ in range(5):
        assert _ask(instance, "many", b'{"times": %d}' % times, module=host_module) == times
        sizes.append(instance.size())

    assert len(set(sizes)) == 1
    instance.close()


def test_evaluations_do_not_grow_memory(start: Callable[..., Instance[None]], module: Module, made_by: Runtime) -> None:
    """The heap pointer goes back to the same place after every evaluation."""
    instance = start()
    text = b'{"a": [1, 2, 3], "b": "text"}'
    _ask(instance, "echo", text, module=module)
    before = (instance.heap, instance.size())

    for _ in range(1000 if made_by.checked else 20_000):
        instance.evaluate(module.entrypoints["t/p/echo"], text, None, until=time.monotonic() + 60)

    assert before == (instance.heap, instance.size())
    instance.close()


def test_loading_data_again_does_not_grow_memory(start: Callable[..., Instance[None]], module: Module) -> None:
    """Data is replaced, not added."""
    document = json.dumps({f"key{number}": [number] * 20 for number in range(2000)}).encode()
    instance = start(b'{"doc": %s}' % document)
    before = (instance.heap, instance.size())

    for _ in range(5):
        instance.load_data(b'{"doc": %s}' % document)

    assert before == (instance.heap, instance.size())
    assert json.loads(document) == _ask(instance, "document", module=module)
    instance.close()


def test_data_is_copied_to_other_instances(start: Callable[..., Instance[None]], module: Module) -> None:
    """A copy answers like the instance that parsed the document."""
    document = json.dumps({f"key{number}": {"n": number, "s": "é" * number} for number in range(300)}).encode()
    snapshot = start(b'{"doc": %s}' % document).snapshot()
    copy: Instance[None] = Instance(module, {}, memory_limit=LIMIT)

    copy.restore(snapshot)

    assert json.loads(document) == _ask(copy, "document", module=module)
    assert _ask(copy, "echo", b'{"x": 1}', module=module) == {"x": 1}
    copy.close()


@pytest.mark.parametrize("text", [b"null", b"true", b" 7", b"[]"])
def test_static_data_is_put_back(made_by: Runtime, text: bytes) -> None:
    """What an evaluation with input that is no object wrote over OPA's own null and true is undone."""
    module = Module(wasmtime.Module(made_by.engine, wasmtime.wat2wasm(fake(eval=SCRIBBLE))), "scribble", made_by)
    instance: Instance[None] = Instance(module, {}, memory_limit=LIMIT)

    for _ in range(2):
        instance.evaluate(0, text, None, until=time.monotonic() + 60)
        assert instance._machine.read(64, 4) == b"\0\0\0\0"

    instance.evaluate(0, b"{}", None, until=time.monotonic() + 60)
    assert instance._machine.read(64, 4) == b"\x2a\0\0\0"
    instance.close()


def test_data_that_does_not_fit_is_refused(start: Callable[..., Instance[None]]) -> None:
    """A document larger than the memory is an error, not a crash."""
    with pytest.raises(MemoryExceeded):
        start(json.dumps({"k": ["x" * 1000] * 10_000}).encode(), 4 << 20)


def test_data_that_the_module_cannot_read_is_refused(start: Callable[..., Instance[None]]) -> None:
    """A document that is not JSON is an error of the document."""
    with pytest.raises(InvalidJson):
        start(b"{nothing")


def test_too_little_memory_to_start(module: Module) -> None:
    """A limit below what the module itself needs is told at once."""
    with pytest.raises(MemoryExceeded):
        Instance(module, {}, memory_limit=1 << 16)


def test_a_result_may_be_too_long(
    start: Callable[..., Instance[None]], module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result beyond the limit is refused with its size, and the instance goes on."""
    monkeypatch.setattr(instance_room, "MAX_RESULT", 1 << 20)  # 64 MiB would be slow here
    instance = start()

    with pytest.raises(ResultTooLarge, match="1 MiB"):
        _ask(instance, "long", b'{"text": "' + b"a" * 1000 + b'", "times": 2000}', module=module)

    assert _ask(instance, "echo", b"1", module=module) == 1
    instance.close()


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"eval": "i32.const -4"}, EvaluationTrapped),
        (
            {"eval": "(memory.fill (i32.const 4096) (i32.const 65) (i32.const 126976)) i32.const 4096"},
            EvaluationTrapped,
        ),
        ({"eval": "unreachable"}, EvaluationTrapped),
        ({"eval": "(i32.div_s (i32.const 1) (i32.const 0))"}, EvaluationTrapped),
        ({"eval": "(loop (br 0)) unreachable"}, EvaluationTimeout),
        (
            {
                "imports": '(import "env" "memory" (memory 2)) (import "env" "opa_abort" (func $abort (param i32)))',
                "eval": "(call $abort (i32.const -1)) unreachable",
            },
            EvaluationTrapped,
        ),
    ],
)
def test_a_hostile_module_only_hurts_itself(
    made_by: Runtime, parts: dict[str, str], error: type[EvaluationError]
) -> None:
    """Addresses outside the memory, texts without an end and endless loops are errors of that evaluation."""
    native = wasmtime.Module(made_by.engine, wasmtime.wat2wasm(fake(**parts)))
    instance: Instance[None] = Instance(Module(native, "hostile", made_by), {}, memory_limit=LIMIT)

    with pytest.raises(error):
        instance.evaluate(0, None, None, until=time.monotonic() + (0.1 if error is EvaluationTimeout else 60))

    assert instance.broken is True
    instance.close()


@pytest.mark.parametrize("heap", ["i32.const -16", "(i32.load (i32.const 8))"])
def test_a_hostile_heap_is_refused(made_by: Runtime, heap: str) -> None:
    """A module that says its heap ends before it begins, or outside of any memory, gets no data."""
    text = fake(parse="(i32.store (i32.const 8) (i32.const 8)) i32.const 8", start=START).replace(
        '(func (export "opa_heap_ptr_get") (result i32) i32.const 1024)',
        f'(func (export "opa_heap_ptr_get") (result i32) {heap})',
    )
    module = Module(wasmtime.Module(made_by.engine, wasmtime.wat2wasm(text)), "heap", made_by)
    instance: Instance[None] = Instance(module, {}, memory_limit=LIMIT)

    with pytest.raises((EvaluationTrapped, MemoryExceeded)):
        instance.load_data(b"{}")

    assert instance.broken is True
    instance.close()


def test_instances_run_beside_each_other(start: Callable[..., Instance[None]], module: Module) -> None:
    """Threads with an instance each do not disturb one another, whatever happens in one of them."""
    problems: list[object] = []

    def work(number: int) -> None:
        instance = start()
        for turn in range(30):
            if instance.broken:
                instance.close()
                instance = start()
            try:
                text = f'{{"n": {number}, "t": {turn}, "both": {"true" if turn % 3 == 0 else "false"}}}'.encode()
                if json.loads(text) != _ask(instance, "echo", text, module=module):
                    problems.append(text)
                _ask(instance, "conflict", text, module=module)
            except RuleConflict:
                if turn % 3:
                    problems.append("conflict of another thread")
        instance.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert problems == []
