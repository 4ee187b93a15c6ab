"""One running copy of the toolkit: memory, calls, host functions, deadline."""

import struct
import threading
from collections.abc import Callable
from enum import IntEnum

import wasmtime

from policy_server.model.errors import BuiltinFailed, ToolkitError
from policy_server.toolkit import native

HostCall = Callable[[str, bytes], bytes | None]
"""Answer a builtin: its name, a JSON array of arguments; JSON of the value, None when undefined."""


class Answered(IntEnum):
    """What a builtin answered; the Go side has the same numbers."""

    UNDEFINED = 0
    VALUE = 1
    FAILED = 2
    UNAVAILABLE = 3


_STORES = threading.Lock()
"""Stores are made and closed one at a time: wasmtime keeps a table of callbacks without a lock."""

_STDERR_KEPT = 16 * 1024
_SOFT_LIMIT = 0.75
_GARBAGE_PERCENT = 200
"""PERF: instead of Go's default 100: compiling takes 15 % less time (133 → 112 ms) and 46 MiB instead of 34."""

_START_TICKS = 500


_SIGNATURES = {
    "_initialize": "->",
    "tune": "i64 i32->",
    "buffer": "i32->i32",
    "call": "i32->i64",
    "builtin": "i32->i64",
}


def _signature(kind: wasmtime.FuncType) -> str:
    return " ".join(map(str, kind.params)) + "->" + " ".join(map(str, kind.results))


class OutOfTime(Exception):
    """The call passed its deadline."""


class OutOfMemory(Exception):
    """The call needed more memory than an instance may have."""


class OutOfStack(Exception):
    """The call went deeper into its recursion than the stack allows."""


class Instance:
    """A running toolkit; one thread at a time; useless after any exception of this module."""

    def __init__(self, module: wasmtime.Module, engine: wasmtime.Engine, *, memory_limit: int) -> None:
        self._keep: list[object] = []
        self._stderr = b""
        self._host: HostCall | None = None
        self._taken = b""
        self._raised: BaseException | None = None
        fast = native.proven()
        self._function: Callable[[wasmtime.Store, wasmtime.Func], native.Function] = (
            native.NativeFunction if fast else native.PublicFunction
        )
        with _STORES:
            self._store = wasmtime.Store(engine)
            self._store.set_limits(memory_size=memory_limit, instances=1, memories=1, tables=1)
            self._store.set_epoch_deadline(_START_TICKS)
            config = wasmtime.WasiConfig()
            native.collect_errors(config, self._hear, self._keep)
            self._store.set_wasi(config)
            linker = wasmtime.Linker(engine)
            linker.define_wasi()
            for name, kind, call in self._imports():
                make = native.native_host if fast else native.public_host
                linker.define(self._store, "policy_server", name, make(self._store, kind, call, self._keep))
            self._start(linker, module, memory_limit)

    def _start(self, linker: wasmtime.Linker, module: wasmtime.Module, memory_limit: int) -> None:
        wrong = "The toolkit file is not a toolkit of this version; run scripts/setup to build it again."
        try:
            exports = linker.instantiate(self._store, module).exports(self._store)
            memory = exports["memory"]
            found = {name: exports[name] for name in _SIGNATURES}
        except (wasmtime.WasmtimeError, wasmtime.Trap, KeyError) as error:
            raise ToolkitError(wrong) from error
        functions = {
            name: self._function(self._store, item)
            for name, item in found.items()
            if isinstance(item, wasmtime.Func) and _signature(item.type(self._store)) == _SIGNATURES[name]
        }
        if not isinstance(memory, wasmtime.Memory) or len(functions) != len(_SIGNATURES):
            raise ToolkitError(wrong)
        self.memory = native.View(self._store, memory)
        self._guarded(functions["_initialize"])
        self._guarded(functions["tune"], int(memory_limit * _SOFT_LIMIT), _GARBAGE_PERCENT)
        self._buffer = functions["buffer"]
        self._exports = functions
        self._at = 0
        self._capacity = 0

    def _imports(self) -> list[tuple[str, wasmtime.FuncType, native.HostFunction]]:
        i32, i64 = wasmtime.ValType.i32, wasmtime.ValType.i64
        return [
            ("host_call", wasmtime.FuncType([i32(), i32(), i32(), i32()], [i64()]), self._host_call),
            ("host_take", wasmtime.FuncType([i32()], []), self._host_take),
        ]

    def _hear(self, text: bytes) -> None:
        self._stderr = (self._stderr + text)[:_STDERR_KEPT]

    def _host_call(self, name_at: int, name_size: int, args_at: int, args_size: int) -> int | None:
        try:
            status, self._taken = self._asked(name_at, name_size, args_at, args_size)
        except BuiltinFailed as error:
            status, self._taken = Answered.FAILED, error.message.encode()
        except BaseException as error:  # noqa: BLE001 an exception must not travel through WebAssembly; `_guarded` raises it
            self._raised = error
            return None
        return status << 32 | len(self._taken)

    def _asked(self, name_at: int, name_size: int, args_at: int, args_size: int) -> tuple[Answered, bytes]:
        if self._host is None:
            return Answered.UNAVAILABLE, b""
        name = self.memory.read(name_at, name_size).decode()
        answer = self._host(name, self.memory.read(args_at, args_size))
        return (Answered.UNDEFINED, b"") if answer is None else (Answered.VALUE, answer)

    def _host_take(self, target: int) -> int | None:
        self.memory.write(target, self._taken)
        self._taken = b""
        return 0

    def _guarded(self, function: native.Function, *values: int) -> int:
        try:
            return function(*values)
        except wasmtime.Trap as error:
            raise self._explained(error) from error
        except wasmtime.WasmtimeError as error:
            raise self._explained(error) from error

    def _explained(self, error: wasmtime.Trap | wasmtime.WasmtimeError) -> BaseException:
        raised, self._raised = self._raised, None
        if raised is not None:
            return raised
        code = error.trap_code if isinstance(error, wasmtime.Trap) else None
        if code is wasmtime.TrapCode.INTERRUPT:
            return OutOfTime()
        said = self._stderr.decode(errors="replace")
        if code is wasmtime.TrapCode.STACK_OVERFLOW or "stack exceeds" in said:
            return OutOfStack()
        if "out of memory" in said:
            return OutOfMemory()
        first = said.strip().splitlines()[:1] or [str(error).splitlines()[0]]
        return ToolkitError(f"OPA's toolkit broke: {first[0]}")

    def allow(self, ticks: int) -> None:
        """Stop whatever comes next after so many ticks from now."""
        self._store.set_epoch_deadline(ticks)

    def send(self, export: str, request: bytes, *, host: HostCall | None = None) -> bytes:
        """Make one call and return its answer.

        Raises:
            OutOfTime, OutOfMemory, OutOfStack, ToolkitError: and whatever ``host`` raised; the
                instance must be dropped after any of them.
        """
        self._host = host
        try:
            if len(request) > self._capacity:
                self._capacity = len(request) + len(request) // 2
                self._at = self._guarded(self._buffer, self._capacity)
            self.memory.write(self._at, request)
            packed = self._guarded(self._exports[export], len(request))
            return self.memory.read(packed >> 32, packed & 0xFFFFFFFF)
        finally:
            self._host = None

    def call(self, request: bytes, *, host: HostCall | None = None) -> tuple[bytes, bytes]:
        """Make a JSON call; return the JSON answer and what is attached to it."""
        answer = self.send("call", request, host=host)
        size = struct.unpack_from("<I", answer)[0]
        return answer[4 : 4 + size], answer[4 + size :]

    def close(self) -> None:
        """Give the memory back."""
        with _STORES:
            self._store.close()
