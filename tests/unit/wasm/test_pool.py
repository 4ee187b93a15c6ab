"""The pool: many threads, one policy, data that changes under them."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Sequence

import pytest
import wasmtime

from policy_server.model.errors import (
    EntrypointNotFound,
    EvaluationAborted,
    EvaluationTimeout,
    EvaluationTrapped,
    InvalidJson,
    MemoryExceeded,
    RuleConflict,
)
from policy_server.wasm import pool as pool_room
from policy_server.wasm.module import Module, ModuleCache
from policy_server.wasm.pool import Pool

from .samples import EVERYTHING, TRIVIAL, fake


@pytest.fixture
def make(load_module: Callable[[str], Module]) -> Callable[..., Pool[None]]:
    """Return a function from Rego to a pool."""

    def build(rego: str = EVERYTHING, data: bytes | None = None, **options: int) -> Pool[None]:
        return Pool(load_module(rego), {}, data=data, **options)

    return build


def _ask(pool: Pool[None], text: bytes | None = None, rule: str = "echo", *, deadline: float = 60.0) -> bytes | None:
    return pool.evaluate(text, entrypoint=f"t/p/{rule}", call=None, deadline=deadline)


def test_answers_are_compact_sorted_json(make: Callable[..., Pool[None]]) -> None:
    """The bytes are what OPA would print: sorted keys, sorted sets, no blanks."""
    pool = make()

    assert _ask(pool, rule="plain") == b'{"a":[true,null,"x y"],"b":1,"c":{"y":[],"z":{}}}'
    assert _ask(pool, rule="spelled") == b"[1.50,1e2,123456789012345678901234567890,0.1,-0.5,1E+2]"


def test_undefined_null_and_no_input_differ(make: Callable[..., Pool[None]]) -> None:
    """No input is not null, and neither is undefined."""
    pool = make()

    assert _ask(pool, None) is None
    assert _ask(pool, b"null") == b"null"
    assert _ask(pool, b"{}", rule="missing") is None


def test_the_first_entrypoint_is_the_default(make: Callable[..., Pool[None]]) -> None:
    """Whoever names none asks for the module's first."""
    pool = make(TRIVIAL, b'{"limit": 3}')

    assert pool.evaluate(b'{"user":"alice"}', entrypoint=None, call=None, deadline=60) == b'{"allow":true,"limit":3}'


def test_an_unknown_entrypoint_is_named_with_those_there(make: Callable[..., Pool[None]]) -> None:
    """The error says what could have been asked."""
    with pytest.raises(EntrypointNotFound, match=r"no entrypoint t/p/nothing; it has .*t/p/echo"):
        _ask(make(), rule="nothing")


def test_broken_json_never_reaches_the_module(make: Callable[..., Pool[None]]) -> None:
    """The module would answer it as if no input had been sent."""
    with pytest.raises(InvalidJson):
        _ask(make(), b'{"user":')


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b"{", b'{"a": 1} {}'])
def test_data_has_to_be_an_object(make: Callable[..., Pool[None]], data: bytes) -> None:
    """Data that is no JSON object is refused, at start and later; later the old data stays."""
    with pytest.raises(InvalidJson):
        make(TRIVIAL, data)

    pool = make(TRIVIAL, b'{"limit": 1}')
    with pytest.raises(InvalidJson):
        pool.set_data(data)
    assert pool.evaluate(b"{}", entrypoint=None, call=None, deadline=60) == b'{"allow":false,"limit":1}'


def test_data_too_large_leaves_the_old(make: Callable[..., Pool[None]]) -> None:
    """Data that does not fit is refused as a whole."""
    pool = make(TRIVIAL, b'{"limit": 1}', memory_limit=4 << 20)

    with pytest.raises(MemoryExceeded):
        pool.set_data(json.dumps({"limit": ["x" * 1000] * 10_000}).encode())

    assert pool.evaluate(b"{}", entrypoint=None, call=None, deadline=60) == b'{"allow":false,"limit":1}'


@pytest.mark.parametrize(
    ("rule", "text", "error"),
    [
        ("conflict", b'{"both": true}', RuleConflict),
        ("abort", None, EvaluationAborted),
        ("replaced", b"null", EvaluationTrapped),
        ("replaced", b"[]", EvaluationTrapped),
        ("hungry", None, MemoryExceeded),
    ],
)
def test_the_next_evaluation_is_right(
    make: Callable[..., Pool[None]], rule: str, text: bytes | None, error: type[Exception]
) -> None:
    """After a failure a fresh instance answers, with the same data."""
    pool = make(EVERYTHING, b'{"doc": [1, 2]}', memory_limit=32 << 20, size=1)
    for _ in range(3):
        with pytest.raises(error):
            _ask(pool, text, rule)

        assert _ask(pool, rule="document") == b"[1,2]"
        assert _ask(pool, b'{"x": null}') == b'{"x":null}'


@pytest.mark.parametrize("text", [b"null", b"true", b"1", b'"s"', b"[1]", b"[[]]"])
def test_input_that_is_no_object_leaves_nothing_behind(make: Callable[..., Pool[None]], text: bytes) -> None:
    """``with input.x`` on it may write over OPA's constants; the next caller sees them whole."""
    pool = make(size=1)
    expected = _ask(pool, rule="constants")

    with contextlib.suppress(EvaluationTrapped):
        _ask(pool, text, "replaced")

    assert expected == _ask(pool, rule="constants") == b"[true,false,null,[null,1],true,true]"


def test_an_endless_policy_ends_at_its_deadline(make: Callable[..., Pool[None]]) -> None:
    """It is stopped, and others are answered before and afterwards."""
    pool = make(size=2)
    ended: list[bool] = []

    def endless() -> None:
        with pytest.raises(EvaluationTimeout):
            _ask(pool, rule="endless", deadline=0.2)
        ended.append(True)

    thread = threading.Thread(target=endless)
    thread.start()
    answers = {_ask(pool, b"7") for _ in range(20)}
    thread.join()

    assert answers == {b"7"}
    assert ended == [True]
    assert _ask(pool, b"8") == b"8"


def test_no_more_run_at_a_time_than_there_are_places(load_module: Callable[[str], Module]) -> None:
    """Who finds all instances busy waits, and gives up at the deadline."""
    module = load_module('package t.p\nx := external.http.header("a")')
    inside, leave = threading.Event(), threading.Event()

    def header(_: object, __: Sequence[bytes]) -> bytes | None:
        inside.set()
        leave.wait(10)
        return b'"done"'

    pool: Pool[None] = Pool(module, {0: header}, data=None, size=1)
    answers: list[bytes | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(pool.evaluate(None, entrypoint=None, call=None, deadline=60))
    )
    thread.start()
    assert inside.wait(10)

    with pytest.raises(EvaluationTimeout, match="busy"):
        pool.evaluate(None, entrypoint=None, call=None, deadline=0.02)
    waiting = threading.Thread(
        target=lambda: answers.append(pool.evaluate(None, entrypoint=None, call=None, deadline=60))
    )
    waiting.start()
    leave.set()
    thread.join()
    waiting.join()

    assert answers == [b'{"x":"done"}'] * 2


def test_a_failing_start_gives_its_place_back(make: Callable[..., Pool[None]]) -> None:
    """A pool is not smaller after instances that could not be made."""
    pool = make(size=1)
    generation = pool._generation
    snapshot = generation.snapshot
    with pytest.raises(EvaluationAborted):
        _ask(pool, rule="abort")
    generation.snapshot = type(snapshot)(snapshot.content, -1, snapshot.heap, snapshot.data)
    with pytest.raises(MemoryExceeded):
        _ask(pool, b"1")
    generation.snapshot = snapshot

    assert _ask(pool, b"1", deadline=30) == b"1"


def test_a_swollen_instance_is_replaced(make: Callable[..., Pool[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of WebAssembly never shrinks, so an instance that grew is not kept."""
    monkeypatch.setattr(pool_room, "GROWTH", 1 << 20)  # 32 MiB would be slow here
    pool = make(size=1)
    small = pool._generation._idle[0].size()

    assert _ask(pool, json.dumps(["x" * 100] * 20_000).encode()) is not None
    _ask(pool, b"1")

    assert pool._generation._idle[0].size() == small


def test_twenty_thousand_evaluations_do_not_grow(make: Callable[..., Pool[None]]) -> None:
    """The same instance answers them all, and is as large as before."""
    pool = make(TRIVIAL, b'{"limit": 3}', size=1)
    instance = pool._generation._idle[0]
    pool.evaluate(b'{"user":"alice"}', entrypoint=None, call=None, deadline=60)
    before = (instance.heap, instance.size())

    for _ in range(20_000):
        pool.evaluate(b'{"user":"alice"}', entrypoint=None, call=None, deadline=60)

    assert pool._generation._idle == [instance]
    assert before == (instance.heap, instance.size())


def test_data_changes_under_running_threads(make: Callable[..., Pool[None]]) -> None:
    """Eight threads evaluate while the data is swapped: each sees one document whole, and the last one in the end."""
    pool = make(EVERYTHING, b'{"doc": [0, 0, 0]}', size=4)
    stop = threading.Event()
    problems: list[object] = []
    newest = [0] * 8

    def work(number: int) -> None:
        while not stop.is_set():
            found = json.loads(_ask(pool, rule="document") or b"")
            if len(set(found)) != 1 or found[0] < newest[number]:
                problems.append(found)
            newest[number] = found[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for turn in range(1, 40):
        pool.set_data(json.dumps({"doc": [turn] * 3}).encode())
    stop.set()
    for each in threads:
        each.join()

    assert problems == []
    assert _ask(pool, rule="document") == b"[39,39,39]"


def test_old_data_is_freed(make: Callable[..., Pool[None]]) -> None:
    """After a swap nothing of the old generation is left, idle or busy."""
    pool = make(EVERYTHING, b'{"doc": 1}')
    old = pool._generation
    borrowed = old.take(time.monotonic() + 60)

    pool.set_data(b'{"doc": 2}')
    assert _ask(pool, rule="document") == b"2"
    assert old._made == 1
    old.give(borrowed)

    assert old._made == 0
    assert old._idle == []


def test_late_callers_of_a_closed_pool_are_answered(make: Callable[..., Pool[None]]) -> None:
    """Who found a policy just before it was swapped out gets its answer; nothing is kept for it."""
    pool = make(EVERYTHING, b'{"doc": 1}')

    pool.close()

    assert _ask(pool, rule="document") == b"1"
    assert pool._generation._idle == []
    assert pool._generation._made == 0
    pool.close()


def test_a_module_that_answers_nonsense_is_an_error() -> None:
    """A result set is undefined or holds one result; anything else is not OPA's."""
    wasm = bytes(wasmtime.wat2wasm(fake(eval="i32.const 16")))
    pool: Pool[None] = Pool(ModuleCache(None).load(wasm), {}, data=None)

    with pytest.raises(EvaluationAborted, match="something else"):
        pool.evaluate(None, entrypoint=None, call=None, deadline=60)


def test_usage_is_told_of_idle_and_busy_instances(make: Callable[..., Pool[None]]) -> None:
    """One after the data was loaded; those that are in use count as fresh ones; nothing after the end."""
    pool = make(data=b'{"a": 1}')
    one, fresh = pool.usage()
    assert (one, fresh > 0) == (1, True)
    generation = pool._generation

    taken = [generation.take(time.monotonic() + 60) for _ in range(2)]
    assert pool.usage() == (2, 2 * fresh)
    for instance in taken:
        generation.give(instance)
    _ask(pool, b'"' + b"x" * (4 << 20) + b'"')

    count, grown = pool.usage()
    assert (count, grown > 2 * fresh) == (2, True)
    pool.close()
    assert pool.usage() == (0, 0)
