"""One instance of a module: OPA's ABI, step by step."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from policy_server.model.errors import InvalidJson, MemoryExceeded, ResultTooLarge
from policy_server.wasm.failures import Aborted, of_abort, of_trap
from policy_server.wasm.machine import PAGE, BadAddress, OutOfMemory, Stopped
from policy_server.wasm.module import Module
from policy_server.wasm.strict import is_object

C = TypeVar("C")
"""What one evaluation carries for the builtins; this room only hands it on."""

HostFunction = Callable[[C, Sequence[bytes]], bytes | None]
"""A builtin: arguments and answer are Rego value text, None is undefined."""

MAX_RESULT: Final = 64 << 20
"""Longest result that is handed out, in bytes."""

SCRATCH: Final = 1024
"""Bytes set aside for the answers of builtins, so that small ones need no allocation."""

KEEP: Final = 256
"""Longest text of a builtin's argument that is not freed at once; the end of the evaluation frees all."""

MAX_MESSAGE: Final = 64 << 10
START_SECONDS: Final = 30.0
VALUE_TEXT: Final = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The data document as it lies in memory, from ``base`` to ``heap``.

    Addresses are the same in every instance of a module.
    """

    content: bytes = field(repr=False)
    base: int
    heap: int
    data: int


class Instance(Generic[C]):
    """A module with its memory; one thread at a time.

    ``broken`` is set by every trap, abort and exception: an abort leaks C stack
    and a trap leaves anything behind, so such an instance must be closed. ``held`` is
    for whoever keeps instances: the bytes of memory when it was last given back.
    """

    def __init__(self, module: Module, functions: Mapping[int, HostFunction[C]], *, memory_limit: int) -> None:
        """Start; MemoryExceeded when the limit is below what the module needs to start, EvaluationError."""
        self.broken = False
        self.held = 0
        self._functions = functions
        self._call: tuple[C] | None = None
        self._limit = memory_limit
        self._has_builtins = bool(module.builtins)
        try:
            self._machine = machine = module.runtime.machine(
                module.native, (module.pages, memory_limit // PAGE), self._answer, deadline=START_SECONDS
            )
        except (Stopped, Aborted, OutOfMemory) as error:
            raise _told(error) from error
        self._eval = machine.function("opa_eval")
        self._malloc, self._free = machine.function("opa_malloc"), machine.function("opa_free")
        self._parse, self._dump = machine.function("opa_value_parse"), machine.function("opa_value_dump")
        self._heap_get, self._heap_set = machine.function("opa_heap_ptr_get"), machine.function("opa_heap_ptr_set")
        self._stash = machine.function("opa_heap_blocks_stash") if module.has_stash else None
        self._stash_clear = machine.function("opa_heap_stash_clear") if module.has_stash else None
        self._ticker = module.runtime.ticker
        self._scratch = self.data = 0
        try:
            self._malloc(0)
            self.base = self.heap = self._heap_get()
        except (Stopped, Aborted) as error:
            machine.close()
            raise _told(error) from error

    def load_data(self, text: bytes) -> None:
        """Replace the data document by the one in this strict JSON text.

        Raises:
            InvalidJson: the module does not take it.
            MemoryExceeded: it does not fit.
        """
        try:
            if self._stash_clear is not None:
                self._stash_clear()
            self._heap_set(self.base)
            at = self._malloc(len(text))
            self._machine.write(at, text)
            self.data = self._parse(at, len(text))
            self._free(at)
            if self._stash is not None:
                self._stash()
            self.heap = self._heap_end()
        except (Stopped, Aborted, OutOfMemory, BadAddress) as error:
            self.broken = True
            raise _told(error) from error
        if not self.data:
            raise InvalidJson("The policy's data is not valid JSON.")

    def snapshot(self) -> Snapshot:
        """Copy the data, for other instances of this module."""
        return Snapshot(self._machine.read(self.base, self.heap - self.base), self.base, self.heap, self.data)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the data of another instance of the same module; MemoryExceeded."""
        if snapshot.base != self.base:
            self.broken = True
            raise MemoryExceeded("The instances of this module do not start alike.")
        try:
            self._machine.reserve(snapshot.heap)
        except OutOfMemory as error:
            self.broken = True
            raise MemoryExceeded from error
        self._machine.write(self.base, snapshot.content)
        self.heap, self.data = snapshot.heap, snapshot.data

    def size(self) -> int:
        """Return the size of the memory now, in bytes."""
        return self._machine.size()

    def close(self) -> None:
        """Free everything; safe to repeat."""
        self._machine.close()

    def evaluate(self, entrypoint: int, text: bytes | None, call: C, *, until: float) -> bytes:
        """Evaluate once and return the result set as Rego value text.

        ``text`` is strict JSON, or None for no input (which is not null);
        ``until`` is the deadline as monotonic time.

        Raises:
            EvaluationError: in all its kinds, or what a builtin raised; the
                instance is broken then.
        """
        machine = self._machine
        try:
            start = self.heap
            at = length = 0
            if text is not None:
                # Below the heap pointer given to opa_eval, which else overwrites it.
                at, length = start, len(text)
                start = _aligned(at + length)
            if self._has_builtins:
                self._scratch = start
                start += SCRATCH
            machine.reserve(start)
            if text is not None:
                machine.write(at, text)
            # A policy that says `with input.x as ...` writes into the input. When that
            # is null, true or false, it is the module's one and only null, true or
            # false: all static data is put back then.
            static = None if text is None or is_object(text) else machine.read(0, self.base)
            self._call = (call,)
            if until > self._ticker.until:
                self._ticker.cover(until)
            machine.set_deadline(self._ticker.epochs(until))
            answer = machine.text(self._eval(0, entrypoint, self.data, at, length, start, VALUE_TEXT), MAX_RESULT)
            if static is not None:
                machine.write(0, static)
        except (Stopped, Aborted, OutOfMemory, BadAddress) as error:
            self.broken = True
            raise _told(error) from error
        except BaseException:
            self.broken = True
            raise
        finally:
            self._call = None
        if answer is None:
            raise ResultTooLarge(f"The result is longer than {MAX_RESULT >> 20} MiB.")
        return answer

    def _heap_end(self) -> int:
        end = _aligned(self._heap_get())
        if end < self.base:
            raise BadAddress
        self._machine.reserve(end)
        return end

    def _answer(self, which: int, args: tuple[int, ...]) -> int:
        if which >= 2:
            return self._call_builtin(args)
        text = (self._machine.text(args[0], MAX_MESSAGE) or b"(a very long message)").decode(errors="replace")
        if which == 0:
            raise Aborted(text)
        log.info("policy printed: %s", text)
        return 0

    def _call_builtin(self, args: tuple[int, ...]) -> int:
        call = self._call
        function = self._functions.get(args[0])
        if call is None or function is None:
            raise Aborted(f"it called builtin {args[0]}, which it does not have now")
        answer = function(call[0], [self._argument(each) for each in args[2:]])
        if answer is None:
            return 0
        length = len(answer)
        if length <= SCRATCH:
            self._machine.write(self._scratch, answer)
            return self._parse(self._scratch, length)
        at = self._malloc(length)
        self._machine.write(at, answer)
        value = self._parse(at, length)
        self._free(at)
        return value

    def _argument(self, value: int) -> bytes:
        at = self._dump(value)
        text = self._machine.text(at, MAX_RESULT)
        if text is None:
            raise ResultTooLarge(f"An argument of a function is longer than {MAX_RESULT >> 20} MiB.")
        if len(text) > KEEP:
            self._free(at)
        return text


def _aligned(address: int) -> int:
    return (address + 7) & ~7


def _told(error: Exception) -> Exception:
    if isinstance(error, Aborted):
        return of_abort(error)
    if isinstance(error, Stopped):
        return of_trap(error)
    if isinstance(error, OutOfMemory):
        return MemoryExceeded()
    return of_trap(Stopped("", "it named an address outside its memory"))
