"""One store with one module instance: calls by name, memory by address.

Two classes have the same face: UncheckedMachine, the fast one, and
CheckedMachine here, which uses wasmtime's public API only.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Final, Protocol

import wasmtime

Host = Callable[[int, tuple[int, ...]], int]
"""Answers the module's calls: which of IMPORTS, its arguments; returns an address."""

IMPORTS: Final[tuple[tuple[str, int], ...]] = (
    ("opa_abort", 1),
    ("opa_println", 1),
    ("opa_builtin0", 2),
    ("opa_builtin1", 3),
    ("opa_builtin2", 4),
    ("opa_builtin3", 5),
    ("opa_builtin4", 6),
)
"""The functions a module may import from ``env``, and how many i32 they take."""

VOID: Final = 2
"""How many of IMPORTS, from the start, have no result."""

PAGE: Final = 1 << 16
"""Bytes in a page of memory."""


class Stopped(Exception):
    """The module trapped; ``code`` is wasmtime's word for why."""

    def __init__(self, code: str, message: str) -> None:
        """Take wasmtime's trap code (empty when there is none) and message."""
        self.code = code
        super().__init__(message)


class OutOfMemory(Exception):
    """The memory cannot grow to hold what the host wants to write."""


class BadAddress(Exception):
    """The module named an address outside its memory, or a text without an end."""


class Machine(Protocol):
    """Promises of both kinds. Every call may raise Stopped, or what the host raised inside it."""

    def global_value(self, name: str) -> int | None:
        """Return an exported global, None when there is none."""

    def function(self, name: str) -> Callable[..., int]:
        """Return an exported function over i32; without a result it answers 0."""

    def set_deadline(self, ticks: int) -> None:
        """Let the module trap after this many epochs."""

    def size(self) -> int:
        """Return the size of the memory now, in bytes."""

    def reserve(self, end: int) -> None:
        """Grow the memory until this address is inside; OutOfMemory."""

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out; BadAddress."""

    def text(self, address: int, limit: int) -> bytes | None:
        """Copy a NUL-terminated text out, None when longer than the limit; BadAddress."""

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in; BadAddress."""

    def close(self) -> None:
        """Free the store; nothing may be called after it."""


class _HostStopped(Exception):
    """Unwinds the module after the host raised; carries nothing.

    NOTE: wasmtime-py keeps the exception of a callback in one slot for the whole
    process, so with threads it may surface in another evaluation. What the host
    raised is therefore kept on the machine, and this only says "look there".
    """


_lifecycle = threading.Lock()
"""Guards wasmtime-py's table of callbacks, which is shared and has no lock of its own."""


class CheckedMachine:
    """Calls a module through wasmtime's public API."""

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
        self._failure: BaseException | None = None
        self._host = host
        with _lifecycle:
            self._store = wasmtime.Store(engine)
            confine(self._store, pages[1])
            self._store.set_epoch_deadline(ticks)
            self._memory = make_memory(self._store, pages)
            imports = {name: self._import(which) for which, (name, _) in enumerate(IMPORTS)}
        given = [self._memory if item.name == "memory" else imports[str(item.name)] for item in module.imports]
        try:
            self._exports = wasmtime.Instance(self._store, module, given).exports(self._store)
        except (wasmtime.Trap, wasmtime.WasmtimeError, _HostStopped) as error:
            raise self._reason(error) from error

    def global_value(self, name: str) -> int | None:
        """Return an exported global, None when there is none."""
        found = self._exports.get(name)
        return int(found.value(self._store)) if isinstance(found, wasmtime.Global) else None

    def function(self, name: str) -> Callable[..., int]:
        """Return an exported function over i32; without a result it answers 0."""
        found = self._exports[name]
        assert isinstance(found, wasmtime.Func)  # noqa: S101 - checked when the module was loaded

        def call(*args: int) -> int:
            try:
                answer = found(self._store, *map(_signed, args))
            except (wasmtime.Trap, wasmtime.WasmtimeError, _HostStopped) as error:
                raise self._reason(error) from error
            return int(answer or 0) & 0xFFFFFFFF

        return call

    def set_deadline(self, ticks: int) -> None:
        """Let the module trap after this many epochs."""
        self._store.set_epoch_deadline(ticks)

    def size(self) -> int:
        """Return the size of the memory now, in bytes."""
        return self._memory.data_len(self._store)

    def reserve(self, end: int) -> None:
        """Grow the memory until this address is inside; OutOfMemory."""
        missing = end - self.size()
        if missing > 0:
            try:
                self._memory.grow(self._store, -(-missing // PAGE))
            except wasmtime.WasmtimeError as error:
                raise OutOfMemory from error

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out; BadAddress."""
        if address + length > self.size():
            raise BadAddress
        return bytes(self._memory.read(self._store, address, address + length))

    def text(self, address: int, limit: int) -> bytes | None:
        """Copy a NUL-terminated text out, None when longer than the limit; BadAddress."""
        found = bytes(self._memory.read(self._store, address, address + limit + 1))
        end = found.find(0)
        if end >= 0:
            return found[:end]
        if len(found) <= limit:
            raise BadAddress
        return None

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in; BadAddress."""
        if address + len(data) > self.size():
            raise BadAddress
        self._memory.write(self._store, bytearray(data), address)

    def close(self) -> None:
        """Free the store; nothing may be called after it."""
        self._host = nobody
        with _lifecycle:
            self._store.close()

    def _import(self, which: int) -> wasmtime.Func:
        i32 = wasmtime.ValType.i32()
        kind = wasmtime.FuncType([i32] * IMPORTS[which][1], [] if which < VOID else [i32])
        # A weak reference: the callback table is global and would keep the machine alive.
        machine = weakref.ref(self)

        def enter(*args: int) -> int | None:
            held = machine()
            if held is None:
                raise _HostStopped
            try:
                answer = held._host(which, tuple(each & 0xFFFFFFFF for each in args))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller raises it
                held._failure = error
                raise _HostStopped from None
            return None if which < VOID else _signed(answer)

        return wasmtime.Func(self._store, kind, enter)

    def _reason(self, error: Exception) -> BaseException:
        failure, self._failure = self._failure, None
        if failure is not None:
            return failure
        code = error.trap_code if isinstance(error, wasmtime.Trap) else None
        return Stopped(code.name if code is not None else "", str(error))


def nobody(_which: int, _args: tuple[int, ...]) -> int:
    """Stand in for the host of a closed machine, which would keep its owner alive."""
    raise Stopped("", "closed")


def make_memory(store: wasmtime.Store, pages: tuple[int, int]) -> wasmtime.Memory:
    """Make a memory of (minimum, maximum) pages; OutOfMemory when the limit is below the minimum."""
    if pages[0] > pages[1]:
        raise OutOfMemory
    try:
        return wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(*pages)))
    except wasmtime.WasmtimeError as error:
        # The system refused the address space.
        raise OutOfMemory from error


def confine(store: wasmtime.Store, pages: int) -> None:
    """Limit what a module may allocate beside its memory; SECURITY: it may not be OPA's."""
    store.set_limits(memory_size=pages * PAGE, table_elements=100_000, instances=1, tables=4, memories=2)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
