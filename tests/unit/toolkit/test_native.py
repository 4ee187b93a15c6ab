"""The fast way below wasmtime's public API, and the way without it."""

import logging

import pytest
import wasmtime

from policy_server.model.errors import BuiltinFailed, EvaluationTimeout
from policy_server.model.policy import Dialect
from policy_server.toolkit import native


def test_fast_way_works_with_the_pinned_wasmtime() -> None:
    """The private functions used are there and do what they should; else everything would be five times slower."""
    assert native.proven()


def test_missing_function_is_noticed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A wasmtime without the private functions is noticed before they are used, with a warning."""
    monkeypatch.delattr(native.c, "_wasmtime_func_call_unchecked")

    with caplog.at_level(logging.WARNING):
        assert not native.proven.__wrapped__()
    assert "slower" in caplog.text


def test_public_way_gives_the_same_answers(limited, twice, host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the private functions everything works, host functions, failures and deadlines too."""
    monkeypatch.setattr(native, "proven", lambda: False)
    toolkit = limited(deadline=5)

    def late(_name: str, _arguments: bytes) -> bytes:
        raise EvaluationTimeout("too late")

    assert toolkit.builtin("plus", [b"1", b"2"], now_ns=0, seed=1 << 63) == b"3"
    with pytest.raises(BuiltinFailed):
        toolkit.builtin("to_number", [b'"x"'], now_ns=0, seed=0)
    answer = toolkit.eval("demo.twice(21)", {}, dialect=Dialect.V1, builtins=twice, host=host)
    assert answer["result"][0]["expressions"][0]["value"] == 42
    with pytest.raises(EvaluationTimeout, match="too late"):
        toolkit.eval("demo.twice(21)", {}, dialect=Dialect.V1, builtins=twice, host=late)
    with pytest.raises(EvaluationTimeout):
        toolkit.builtin("numbers.range", [b"1", b"100000000"], now_ns=0, seed=0, deadline=0.1)


def test_memory_is_not_read_outside() -> None:
    """An address beyond the memory is an error, not a crash."""
    store = wasmtime.Store()
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 2)))
    view = native.View(store, memory)

    view.write(65_530, b"abcdef")

    assert (view.size, view.read(65_530, 6)) == (65_536, b"abcdef")
    with pytest.raises(IndexError):
        view.read(65_531, 6)
    with pytest.raises(IndexError):
        view.write(65_531, b"abcdef")
    memory.grow(store, 1)
    assert view.read(65_531, 6) == b"bcdef\0"
