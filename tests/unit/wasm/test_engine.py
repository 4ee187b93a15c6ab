"""The engine, its clock, and what happens after a fork."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policy_server.wasm import unchecked
from policy_server.wasm.engine import TICK, Runtime, Ticker, ticks


def _wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def test_nothing_ticks_before_an_evaluation() -> None:
    """Making a ticker starts no thread."""
    before = threading.active_count()

    Ticker(lambda: None)

    assert before == threading.active_count()


def test_it_ticks_until_the_deadline_is_covered() -> None:
    """The clock moves while somebody needs it, and its thread ends by itself."""
    counted: list[int] = []
    ticker = Ticker(lambda: counted.append(1), linger=0.0)

    ticker.cover(time.monotonic() + 5 * TICK)

    assert _wait_until(lambda: len(counted) >= 4)
    assert _wait_until(lambda: ticker._thread is None)


def test_it_starts_again_after_it_ended() -> None:
    """A caller who comes after the thread has ended gets a new one."""
    counted: list[int] = []
    ticker = Ticker(lambda: counted.append(1), linger=0.0)
    ticker.cover(time.monotonic())
    assert _wait_until(lambda: ticker._thread is None)
    seen = len(counted)

    ticker.cover(time.monotonic())

    assert _wait_until(lambda: len(counted) > seen)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.5, 2.0, 3600.0])
def test_an_evaluation_gets_at_least_its_time(seconds: float) -> None:
    """Counted in ticks, a deadline is never earlier and at most two ticks later."""
    assert seconds <= ticks(seconds) * TICK <= seconds + 2 * TICK


def test_a_deadline_that_is_over_is_the_next_tick() -> None:
    """Negative time is no time."""
    assert ticks(-5) == 1


def test_the_fast_way_works_here() -> None:
    """With the pinned wasmtime the self-test passes, so evaluations are fast."""
    assert Runtime().checked is False


def test_an_unknown_wasmtime_is_called_the_slow_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another major version may have another C API: the public one is used, with a warning."""
    monkeypatch.setattr(unchecked, "KNOWN", 1)  # there is only one wasmtime installed

    with caplog.at_level(logging.WARNING):
        made = Runtime()

    assert made.checked is True
    assert "does not allow the fast way" in caplog.text


def test_a_missing_function_is_found_before_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C function that went away is an answer of the self-test, not a crash."""
    monkeypatch.setattr(unchecked, "_gone", [])  # restored, so that the next test finds all of them

    unchecked._prototype("wasmtime_no_such_function", None)

    assert "wasmtime_no_such_function" in unchecked.self_test(Runtime(checked=True).engine)
    assert Runtime().checked is True


FORK = """
import os, sys, threading, time
from policy_server.model.errors import EvaluationTimeout
from policy_server.wasm.engine import runtime
from policy_server.wasm.module import ModuleCache
from policy_server.wasm.pool import Pool
import wasmtime
from samples import fake

cache = ModuleCache(None)
spin = wasmtime.wat2wasm(fake(eval="(loop (br 0)) unreachable"))
quick = wasmtime.wat2wasm(fake())
pools = [Pool(cache.load(bytes(each)), {}, data=None) for each in (spin, quick)]

def timed_out(pool):
    try:
        pool.evaluate(None, entrypoint=None, call=None, deadline=0.05)
    except EvaluationTimeout:
        return True
    return False

assert timed_out(pools[0])
child = os.fork()
if child == 0:
    ok = timed_out(pools[0]) and pools[1].evaluate(None, entrypoint=None, call=None, deadline=1.0) is None
    other = bytes(wasmtime.wat2wasm(fake(malloc="i32.const 2048")))
    fresh = Pool(ModuleCache(None).load(other), {}, data=None)
    ok = ok and fresh.evaluate(None, entrypoint=None, call=None, deadline=1.0) is None
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
assert timed_out(pools[0])
"""


def test_deadlines_hold_in_a_forked_child() -> None:
    """A child has its own clock, goes on with what it inherited, and can compile."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{FORK}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
