"""The engine, its clock, and what happens after a fork."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.wasm import unchecked
from policy_server.wasm.engine import TICK, Epochs, Runtime, Ticker

SLACK = 1e-6
"""What moments of this size are exact to, in seconds."""


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


moments = st.floats(0, 1e6)
lengths = st.floats(0, 10)


@given(began=moments, waits=st.lists(lengths, min_size=1, max_size=5), seconds=lengths)
def test_a_deadline_is_never_early_and_two_ticks_late_at_most(began: float, waits: list[float], seconds: float) -> None:
    """Wherever between two ticks it begins, and however late the thread that ticks is just then."""
    count = [0]
    epochs = Epochs(lambda: count.append(count.pop() + 1), began)
    now = began
    for wait in waits[:-1]:
        now += wait
        epochs.advance(now)
    now += waits[-1]  # these ticks are due, and not done yet

    end = count[0] + epochs.until(now + seconds)

    epochs.advance(now + seconds - SLACK)
    assert count[0] < end or seconds < SLACK
    epochs.advance(max(now + seconds, now) + 2 * TICK)
    assert count[0] >= end


@pytest.mark.parametrize("seconds", [0.07, 0.1999999, 0.29, 0.57, 1.13])
def test_a_budget_that_is_no_number_of_ticks_is_rounded_up(seconds: float) -> None:
    """Also when the tick before is just about to end, and where binary fractions fall short."""
    count: list[int] = []
    epochs = Epochs(lambda: count.append(1), 0.0)
    start = TICK - SLACK

    end = epochs.until(start + seconds)
    epochs.advance(start + seconds - SLACK)

    assert len(count) < end


def test_a_deadline_that_is_over_is_the_next_tick() -> None:
    """Negative time is no time."""
    assert Epochs(lambda: None, 100.0).until(95.0) == 1


def test_a_rest_is_not_caught_up() -> None:
    """Ticks that nobody waited for do not end who comes afterwards."""
    count: list[int] = []
    epochs = Epochs(lambda: count.append(1), 0.0)
    epochs.advance(3.5 * TICK)

    epochs.resume(1000.0)
    end = len(count) + epochs.until(1000.0 + 5 * TICK)
    epochs.advance(1000.0 + 4.5 * TICK)

    assert (len(count), end) == (7, 8)


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
    ok = timed_out(pools[0]) and pools[1].evaluate(None, entrypoint=None, call=None, deadline=60) is None
    other = bytes(wasmtime.wat2wasm(fake(malloc="i32.const 2048")))
    fresh = Pool(ModuleCache(None).load(other), {}, data=None)
    ok = ok and fresh.evaluate(None, entrypoint=None, call=None, deadline=60) is None
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
assert timed_out(pools[0])
"""


def test_deadlines_hold_in_a_forked_child() -> None:
    """A child has its own clock, goes on with what it inherited, and can compile."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{FORK}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
