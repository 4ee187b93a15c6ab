"""The C API of wasmtime for the toolkit's calls; the only file here that goes below the public API.

PERF: a builtin call through ``Func.__call__`` spends 60 µs in conversions,
through ``wasmtime_func_call_unchecked`` 2 µs. The functions used are private
names of the pinned wasmtime major; `proven` says whether they work as expected,
and callers use the public API when they do not.
"""

import ctypes
import functools
import logging
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import _bindings as c

HostFunction = Callable[..., int | None]
"""Takes the parameters as unsigned numbers; a result that is None is a trap."""

_log = logging.getLogger(__name__)
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_MASKS = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}


class NativeFunction:
    """Call one exported function with unsigned integers."""

    __slots__ = ("_call", "_context", "_func", "_keep", "_raw", "_result", "_size", "_trap", "_trap_ref")

    def __init__(self, store: wasmtime.Store, func: wasmtime.Func) -> None:
        kind = func.type(store)
        results = [str(each) for each in kind.results]
        self._size = max(len(kind.params), len(results), 1)
        self._raw = (c.wasmtime_val_raw_t * self._size)()
        self._result = results[0] if results else ""
        self._keep = (store, func)
        self._context = store._context()
        self._func = ctypes.byref(func._func)
        self._trap: Any = ctypes.POINTER(c.wasm_trap_t)()  # typeshed does not know that a pointer has a truth value
        self._trap_ref = ctypes.byref(self._trap)
        self._call = c._wasmtime_func_call_unchecked

    def __call__(self, *values: int) -> int:
        """Call; a trap or an exit comes out as wasmtime's exception."""
        raw = self._raw
        for index, value in enumerate(values):
            raw[index].i64 = value
        error = self._call(self._context, self._func, raw, self._size, self._trap_ref)
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        if self._trap:
            trap, self._trap = self._trap, ctypes.POINTER(c.wasm_trap_t)()
            self._trap_ref = ctypes.byref(self._trap)
            raise wasmtime.Trap._from_ptr(trap)
        return (raw[0].i64 & _MASKS[self._result]) if self._result else 0


class PublicFunction:
    """Do the same as NativeFunction through wasmtime's public API."""

    __slots__ = ("_func", "_result", "_store", "_widths")

    def __init__(self, store: wasmtime.Store, func: wasmtime.Func) -> None:
        kind = func.type(store)
        results = [str(each) for each in kind.results]
        self._store = store
        self._func = func
        self._widths = [32 if str(each) == "i32" else 64 for each in kind.params]
        self._result = results[0] if results else ""

    def __call__(self, *values: int) -> int:
        """Call; a trap or an exit comes out as wasmtime's exception."""
        signed = [_signed(value, width) for value, width in zip(values, self._widths, strict=True)]
        answer = self._func(self._store, *signed)
        return (answer & _MASKS[self._result]) if self._result else 0


Function = NativeFunction | PublicFunction


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def native_host(
    store: wasmtime.Store, kind: wasmtime.FuncType, call: HostFunction, keep: list[object]
) -> wasmtime.Func:
    """Make a host function; ``keep`` must live as long as the store."""
    widths = [_MASKS[str(each)] for each in kind.params]
    has_result = bool(kind.results)

    def answer(_env: Any, _caller: Any, raw: Any, _size: int) -> int:
        result = call(*(raw[index].i64 & mask for index, mask in enumerate(widths)))
        if result is None:
            # Anything but a number here would corrupt the process.
            trap = c._wasmtime_trap_new(ctypes.create_string_buffer(b"host"), 4)
            return ctypes.cast(trap, ctypes.c_void_p).value or 0
        if has_result:
            raw[0].i64 = result
        return 0

    callback = c.wasmtime_func_unchecked_callback_t(answer)
    keep.append(callback)
    func = c.wasmtime_func_t()
    c._wasmtime_func_new_unchecked(store._context(), kind.ptr(), callback, None, _NO_FINALIZER, ctypes.byref(func))
    return wasmtime.Func._from_raw(func)


def public_host(
    store: wasmtime.Store, kind: wasmtime.FuncType, call: HostFunction, keep: list[object]
) -> wasmtime.Func:
    """Do the same as native_host through wasmtime's public API."""
    widths = [_MASKS[str(each)] for each in kind.params]
    has_result = bool(kind.results)

    def answer(*values: int) -> int | None:
        result = call(*(value & mask for value, mask in zip(values, widths, strict=True)))
        if result is None:
            raise wasmtime.WasmtimeError("host")
        return _signed(result, 64) if has_result else None

    keep.append(answer)
    return wasmtime.Func(store, kind, answer)


class View:
    """Read and write the linear memory of an instance."""

    __slots__ = ("_context", "_keep", "_memory")

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._keep = (store, memory)
        self._context = store._context()
        self._memory = ctypes.byref(memory._memory)

    @property
    def size(self) -> int:
        """The bytes that the memory has now."""
        return int(c._wasmtime_memory_data_size(self._context, self._memory))

    def _address(self, address: int, size: int) -> int:
        # Asked anew each time: both change when the memory grows.
        if address + size > c._wasmtime_memory_data_size(self._context, self._memory):
            raise IndexError(f"{address}+{size} is outside of the memory")
        return ctypes.addressof(c._wasmtime_memory_data(self._context, self._memory).contents) + address

    def read(self, address: int, size: int) -> bytes:
        """Copy bytes out; an address outside is an IndexError."""
        return ctypes.string_at(self._address(address, size), size)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in; an address outside is an IndexError."""
        ctypes.memmove(self._address(address, len(data)), data, len(data))


def collect_errors(config: wasmtime.WasiConfig, sink: Callable[[bytes], None], keep: list[object]) -> None:
    """Send what the module writes to its standard error to ``sink``."""

    def write(_env: Any, data: Any, size: int) -> int:
        sink(ctypes.string_at(data, size))
        return size

    kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)
    callback = kind(write)
    keep.append(callback)
    c._wasi_config_set_stderr_custom(config.ptr(), callback, None, _NO_FINALIZER)


USUAL_STACK = 2 << 20
"""What wasmtime allows WebAssembly without being told otherwise, in bytes."""


def set_stack(config: wasmtime.Config, size: int) -> None:
    """Allow WebAssembly so much native stack, or what is usual where this wasmtime cannot be told."""
    if size > USUAL_STACK:
        # A larger one aborts the process unless this one, used by nobody, is as large.
        raise_other = getattr(c, "wasmtime_config_async_stack_size_set", None)
        if raise_other is None:
            size = USUAL_STACK
        else:
            raise_other(config.ptr(), size)
    config.max_wasm_stack = size


@functools.cache
def proven() -> bool:
    """Try calls, results, host functions and traps of the C API once on a tiny module."""
    text = """(module
      (import "t" "twice" (func $twice (param i32) (result i64)))
      (func (export "go") (param i32) (result i64) (call $twice (local.get 0)))
      (func (export "stop") unreachable))"""
    try:
        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        kind = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i64()])
        keep: list[object] = []
        host = native_host(store, kind, lambda value: value * 2 if value else None, keep)
        exports = wasmtime.Instance(store, wasmtime.Module(engine, text), [host]).exports(store)
        go, stop = exports["go"], exports["stop"]
        if not isinstance(go, wasmtime.Func) or not isinstance(stop, wasmtime.Func):
            raise TypeError("no functions")  # noqa: TRY301 it is caught below like all surprises
        run = NativeFunction(store, go)
        computes = run(21) == 42 and run(0xFFFFFFFF) == 0x1FFFFFFFE
        works = computes and _traps(run, 0) and _traps(NativeFunction(store, stop))
    except (AttributeError, TypeError, ValueError, wasmtime.WasmtimeError, ctypes.ArgumentError):
        works = False
    if not works:
        _log.warning("wasmtime's C API does not work as expected, the toolkit's builtins are slower")
    return works


def _traps(function: NativeFunction, *values: int) -> bool:
    try:
        function(*values)
    except (wasmtime.Trap, wasmtime.WasmtimeError):
        return True
    return False
