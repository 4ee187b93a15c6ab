"""Calls modules through wasmtime's unchecked C API; the only file that does.

PERF: a call of ``opa_eval`` for a small policy takes about 5 µs this way and
about 110 µs through ``wasmtime.Func``, which reads the type of the function and
boxes every value at each call. ADR 2 has the measurements.

What the C API wants kept, said once:

- Callbacks are module-level objects, never freed: a ctypes closure that is
  collected while wasmtime may still call it crashes the process. There is no
  finalizer (NULL); the ``env`` pointer is a number, not an object.
- A callback answers 0, or the address of a trap as an integer. Anything else
  (None, an exception) would leave the answer undefined: memory corruption.
- A trap given to wasmtime by a callback is wasmtime's. A trap or an error given
  to us by a call is ours and is deleted exactly once.
- ``args_and_results`` is read before and written after the call, so a call made
  inside a callback needs an array of its own: each function has one. A function
  is never entered twice at the same time on one machine.
- ``wasmtime_func_t`` names a function inside its store: good as long as the store.
- Signatures are not checked: wasm/module.py has compared every one of them, and
  instantiation compares those of the imports.
- Memory moves only when it grows, and with ``memory_may_move`` off not even
  then; base and size are read again after each growth all the same.
"""

import ctypes
import itertools
import struct
import weakref
from collections.abc import Callable
from ctypes import addressof, c_size_t, c_uint8, c_uint64, c_void_p, memmove, string_at
from importlib.metadata import version
from typing import Final

import wasmtime
from wasmtime import _ffi as ffi

from policy_server.wasm.machine import (
    IMPORTS,
    PAGE,
    VOID,
    BadAddress,
    Host,
    OutOfMemory,
    Stopped,
    confine,
    make_memory,
    nobody,
)

KNOWN: Final = 50
"""The major version of wasmtime whose C API this file was written for."""

CHUNK: Final = 512
"""How much of a text is read before its end is looked for, in bytes."""

LARGE: Final = 1 << 16
"""From how many bytes on copying is worth giving up the interpreter's lock."""

_SLOT: Final = 16  # sizeof(wasmtime_val_raw_t), proved by the self-test
_ARGS: Final = tuple(struct.Struct("<" + "I12x" * count) for _, count in IMPORTS)
_CALLBACK: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)
_BITS: Final = 3  # of `env`: which import; the rest: which machine


_gone: list[str] = []
"""C functions that this wasmtime does not have; the self-test looks here before it calls any."""


# PERF: what takes nanoseconds keeps the interpreter's lock. Giving it up costs little by
# itself, but with several busy threads each time is a chance to wait in the queue for it.
_held: Final = ctypes.PyDLL(ffi.dll._name, handle=ffi.dll._handle)
_copy: Final = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t)(
    ctypes.cast(ctypes.memmove, c_void_p).value or 0
)


def _prototype(
    name: str, result: type | None, *args: type, library: ctypes.CDLL = ffi.dll
) -> Callable[..., int | None]:
    # Item access makes a new function object; attribute access would change the
    # argument types of the one wasmtime-py itself uses.
    try:
        function = library[name]
    except AttributeError:
        _gone.append(name)
        return lambda *_: None
    function.restype = result
    function.argtypes = args
    return function


class _Api:
    """The C functions, with addresses as plain integers."""

    def __init__(self) -> None:
        self.call = _prototype(
            "wasmtime_func_call_unchecked", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p
        )
        self.set_deadline = _prototype("wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64, library=_held)
        self.base = _prototype("wasmtime_memory_data", c_void_p, c_void_p, c_void_p, library=_held)
        self.size = _prototype("wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p, library=_held)
        self.trap_new = _prototype("wasmtime_trap_new", c_void_p, ctypes.c_char_p, c_size_t)
        self.trap_code = _prototype("wasmtime_trap_code", ctypes.c_bool, c_void_p, c_void_p)
        self.trap_message = _prototype("wasm_trap_message", None, c_void_p, c_void_p)
        self.trap_delete = _prototype("wasm_trap_delete", None, c_void_p)
        self.error_message = _prototype("wasmtime_error_message", None, c_void_p, c_void_p)
        self.error_delete = _prototype("wasmtime_error_delete", None, c_void_p)
        self.function_new = _prototype(
            "wasmtime_func_new_unchecked", None, c_void_p, c_void_p, _CALLBACK, c_void_p, c_void_p, c_void_p
        )


_api = _Api()
_machines: dict[int, "weakref.ref[UncheckedMachine]"] = {}
_numbers = itertools.count(1)


def _enter(env: int, _caller: int, raw: int, _count: int) -> int:
    machine = None
    try:
        machine = _machines[env >> _BITS]()
        which = env & ((1 << _BITS) - 1)
        shape = _ARGS[which]
        answer = machine.host(which, shape.unpack(string_at(raw, shape.size)))  # type: ignore[union-attr]  # caught below
        if which >= VOID:
            ctypes.c_uint32.from_address(raw).value = answer
    except BaseException as error:  # noqa: BLE001 - whatever it is, the call that led here raises it
        if machine is not None:
            machine.failure = error
        return _trap()
    else:
        return 0


_enter_pointer = _CALLBACK(_enter)


def _trap() -> int:
    return _api.trap_new(b"host", 4) or 0


class UncheckedMachine:
    """Calls a module with preallocated buffers."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        pages: tuple[int, int],
        host: Host,
        *,
        ticks: int,
    ) -> None:
        """Instantiate; memory has ``pages`` (minimum, maximum)."""
        self.host = host
        self.failure: BaseException | None = None
        self._store = wasmtime.Store(engine)
        confine(self._store, pages[1])
        # A fresh store's deadline is already over.
        self._store.set_epoch_deadline(ticks)
        self._context: int = ctypes.cast(self._store._context(), c_void_p).value or 0
        self._memory = make_memory(self._store, pages)
        self._memory_at = addressof(self._memory._memory)
        self._number = next(_numbers)
        _machines[self._number] = weakref.ref(self, _Forget(self._number))
        imports = {name: self._import(which) for which, (name, _) in enumerate(IMPORTS)}
        given = [self._memory if item.name == "memory" else imports[str(item.name)] for item in module.imports]
        try:
            self._exports = wasmtime.Instance(self._store, module, given).exports(self._store)
        except wasmtime.Trap as error:
            code = error.trap_code
            raise self._reason(code.name if code is not None else "", str(error)) from error
        except wasmtime.WasmtimeError as error:
            raise self._reason("", str(error)) from error
        self._refresh()

    def global_value(self, name: str) -> int | None:
        """Return an exported global, None when there is none."""
        found = self._exports.get(name)
        return int(found.value(self._store)) if isinstance(found, wasmtime.Global) else None

    def function(self, name: str) -> Callable[..., int]:
        """Return an exported function over i32; without a result it answers 0."""
        found = self._exports[name]
        assert isinstance(found, wasmtime.Func)  # noqa: S101 - checked when the module was loaded
        kind = found.type(self._store)
        count, has_result = len(kind.params), bool(kind.results)
        held = found._func  # the closure keeps it alive
        raw = (ffi.wasmtime_val_raw_t * max(count, 1))()
        trap = c_void_p()
        words = (ctypes.c_uint32 * (max(count, 1) * _SLOT // 4)).from_buffer(raw)
        pack, invoke, fail = struct.Struct("<" + "I12x" * count).pack_into, _api.call, self._fail
        context, function_at, raw_at, trap_at = self._context, addressof(held), addressof(raw), addressof(trap)
        slots = max(count, 1)

        def call(*args: int, _keep: object = held) -> int:
            pack(raw, 0, *args)
            error = invoke(context, function_at, raw_at, slots, trap_at)
            if error is not None or trap.value is not None:
                fail(error, trap)
            return words[0] if has_result else 0

        return call

    def set_deadline(self, ticks: int) -> None:
        """Let the module trap after this many epochs."""
        _api.set_deadline(self._context, ticks)

    def size(self) -> int:
        """Return the size of the memory now, in bytes."""
        if _api.size(self._context, self._memory_at) != self._size:
            self._refresh()
        return self._size

    def reserve(self, end: int) -> None:
        """Grow the memory until this address is inside; OutOfMemory."""
        if end <= self._size:
            return
        missing = end - self.size()
        if missing > 0:
            try:
                self._memory.grow(self._store, -(-missing // PAGE))
            except wasmtime.WasmtimeError as error:
                raise OutOfMemory from error
            self._refresh()

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out; BadAddress."""
        self._need(address + length)
        return string_at(self._base + address, length)

    def text(self, address: int, limit: int) -> bytes | None:
        """Copy a NUL-terminated text out, None when longer than the limit; BadAddress.

        SECURITY: the module chose the address and may not have ended the text, so
        the end is looked for inside the memory and never by the C library.
        """
        length = CHUNK
        while True:
            if address + length > self._size:
                length = min(length, self.size() - address)
                if length <= 0:
                    raise BadAddress
            found = string_at(self._base + address, length)
            end = found.find(0)
            if end >= 0:
                return found[:end] if end <= limit else None
            if length > limit:
                return None
            if address + length >= self._size:
                raise BadAddress
            length *= 8

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in; BadAddress."""
        self._need(address + len(data))
        (_copy if len(data) < LARGE else memmove)(self._base + address, data, len(data))

    def close(self) -> None:
        """Free the store; nothing may be called after it."""
        self.host = nobody
        _machines.pop(self._number, None)
        self._store.close()

    def _need(self, end: int) -> None:
        if end > self._size and end > self.size():
            raise BadAddress

    def _refresh(self) -> None:
        self._base = _api.base(self._context, self._memory_at) or 0
        self._size = _api.size(self._context, self._memory_at) or 0

    def _import(self, which: int) -> wasmtime.Func:
        i32 = wasmtime.ValType.i32()
        kind = wasmtime.FuncType([i32] * IMPORTS[which][1], [] if which < VOID else [i32])
        made = ffi.wasmtime_func_t()
        env = self._number << _BITS | which
        kind_at = ctypes.cast(kind.ptr(), c_void_p).value
        _api.function_new(self._context, kind_at, _enter_pointer, env, None, addressof(made))
        return wasmtime.Func._from_raw(made)

    def _fail(self, error: int | None, trap: c_void_p) -> None:
        at, trap.value = trap.value, None
        if error is not None:
            message = _message(_api.error_message, error)
            _api.error_delete(error)
            raise self._reason("", message)
        code = c_uint8()
        known = _api.trap_code(at, addressof(code))
        message = _message(_api.trap_message, at or 0)
        _api.trap_delete(at)
        raise self._reason(wasmtime.TrapCode(code.value).name if known else "", message)

    def _reason(self, code: str, message: str) -> BaseException:
        failure, self.failure = self.failure, None
        return failure if failure is not None else Stopped(code, message)


class _Forget:
    """Takes a machine that was never closed off the list; holds no reference to it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, _: object) -> None:
        _machines.pop(self._number, None)


def _message(ask: Callable[..., int | None], at: int) -> str:
    text = ffi.wasm_byte_vec_t()
    ask(at, addressof(text))
    try:
        return bytes(ffi.to_bytes(text)).rstrip(b"\0").decode(errors="replace")
    finally:
        ffi.wasm_byte_vec_delete(ctypes.byref(text))


_PROBE: Final = """(module
  (import "env" "memory" (memory 1))
  (import "env" "opa_abort" (func $abort (param i32)))
  (import "env" "opa_builtin1" (func $ask (param i32 i32 i32) (result i32)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "ask") (param i32) (result i32) (call $ask (i32.const 7) (i32.const 0) (local.get 0)))
  (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "abort") (call $abort (i32.const 1)))
  (func (export "spin") (loop $again (br $again))))"""


def self_test(engine: wasmtime.Engine) -> str:
    """Try everything once with a tiny module; return what is wrong, empty when nothing is."""
    if int(version("wasmtime").split(".")[0]) != KNOWN:
        return f"its C API was tried with version {KNOWN} only"
    if _gone:
        return f"it has no {', '.join(_gone)}"
    if ctypes.sizeof(ffi.wasmtime_val_raw_t) != _SLOT:
        return "its raw values have another size"
    try:
        return _try(engine)
    except (AttributeError, TypeError, ctypes.ArgumentError, wasmtime.WasmtimeError, Stopped) as error:
        return f"{type(error).__name__}: {error}"


def _try(engine: wasmtime.Engine) -> str:
    module = wasmtime.Module(engine, _PROBE)
    machine = UncheckedMachine(engine, module, (1, 4), _probe_host, ticks=1 << 30)
    try:
        machine.write(100, b"abc\0")
        machine.function("poke")(101, 0x42)
        answers = (
            machine.function("add")(40, 2),
            machine.function("ask")(5),
            machine.text(100, 10),
            machine.function("grow")(1),
            machine.size(),
            _stop(machine, "abort", ticks=1 << 30),
            _stop(machine, "spin", ticks=0),
        )
    finally:
        machine.close()
    expected = (42, 12, b"aBc", 1, 2 * PAGE, "KeyError", "INTERRUPT")
    return "" if answers == expected else f"the self-test answered {answers}"


def _stop(machine: UncheckedMachine, name: str, *, ticks: int) -> str:
    machine.set_deadline(ticks)
    try:
        machine.function(name)()
    except Stopped as error:
        return error.code
    except KeyError as error:
        return type(error).__name__
    return "nothing"


def _probe_host(which: int, args: tuple[int, ...]) -> int:
    if IMPORTS[which][0] == "opa_abort":
        raise KeyError
    return args[0] + args[2]
