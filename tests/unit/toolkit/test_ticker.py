"""The toolkit's clock: deadlines are never early, and late by no more than promised."""

import time

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from policy_server.toolkit.ticker import TICK, Ticker

SLACK = 1e-6
lengths = st.floats(0, 10)


class Counted:
    """An engine that only counts its epochs."""

    def __init__(self) -> None:
        self.epoch = 0

    def increment_epoch(self) -> None:
        """Begin an epoch."""
        self.epoch += 1


class Still(Ticker):
    """A ticker whose thread never does anything, so that the test moves the time."""

    def _run(self) -> None:
        return


@given(waits=st.lists(lengths, min_size=1, max_size=4), seconds=lengths)
def test_a_deadline_is_never_early_and_two_ticks_late_at_most(waits: list[float], seconds: float) -> None:
    """Wherever between two ticks it begins, and however late the thread that ticks is just then."""
    engine = Counted()
    ticker = Ticker(engine)  # type: ignore[arg-type] - it is only asked for one thing
    now = ticker._began
    for wait in waits[:-1]:
        now += wait
        ticker.advance(now)
    now += waits[-1]  # these ticks are due, and not done yet

    end = engine.epoch + ticker.epochs(now + seconds)

    ticker.advance(now + seconds - SLACK)
    assert engine.epoch < end or seconds < SLACK
    ticker.advance(now + seconds + 2 * TICK)
    assert engine.epoch >= end


def test_a_rest_is_not_caught_up() -> None:
    """Ticks that nobody waited for do not end who comes afterwards."""
    engine = Counted()
    ticker = Still(engine)  # type: ignore[arg-type] - it is only asked for one thing
    ticker._began -= 1000  # seconds of rest

    end = ticker.begin(time.monotonic() + 5 * TICK)
    ticker.advance(ticker._began + 4.5 * TICK)

    assert engine.epoch == 4
    assert end in {5, 6}


def test_a_real_engine_is_ticked() -> None:
    """The thread that `begin` starts moves the epoch of the engine it was given."""
    engine = wasmtime.Engine(_interruptible())
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1)
    module = wasmtime.Module(engine, wasmtime.wat2wasm('(module (func (export "spin") (loop (br 0))))'))
    spin = wasmtime.Instance(store, module, []).exports(store)["spin"]
    assert isinstance(spin, wasmtime.Func)
    ticker = Ticker(engine)

    ticker.begin(time.monotonic())
    with pytest.raises(wasmtime.Trap, match="interrupt"):
        spin(store)
    ticker.end()


def _interruptible() -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    return config
