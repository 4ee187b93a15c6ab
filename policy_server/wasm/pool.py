"""Instances of one module with one data document, for as many threads as want them."""

import threading
import time
from collections.abc import Mapping
from typing import Final, Generic

from policy_server.model.errors import EntrypointNotFound, EvaluationAborted, EvaluationTimeout, InvalidJson
from policy_server.wasm.instance import C, HostFunction, Instance, Snapshot
from policy_server.wasm.module import Module
from policy_server.wasm.strict import is_object, strict
from policy_server.wasm.text import to_json

GROWTH: Final = 32 << 20
"""How far an instance's memory may grow past its start before it is replaced; memory never shrinks."""

_UNDEFINED: Final = b"set()"
_HEAD: Final = b'{{"result": '
_TAIL: Final = b"}}"


class Generation(Generic[C]):
    """The instances that share one data document; retired when the data changes."""

    def __init__(self, module: Module, functions: Mapping[int, HostFunction[C]], memory_limit: int, size: int) -> None:
        self._module = module
        self._functions = functions
        self._memory_limit = memory_limit
        self._size = size
        # PERF: append and pop of a list are atomic, so the way of an evaluation
        # that finds an idle instance takes no lock. Last in, first out: warm ones.
        self._idle: list[Instance[C]] = []
        self._made = 0
        self._waiting = 0
        self._retired = False
        self._changed = threading.Condition()
        self.snapshot: Snapshot

    def open(self, data: bytes) -> None:
        """Make the first instance and load the data into it; InvalidJson, MemoryExceeded."""
        first = self._start()
        try:
            first.load_data(data)
            self.snapshot = first.snapshot()
        except BaseException:
            first.close()
            raise
        self._size_at_first = first.held = first.size()
        self._threshold = first.held + GROWTH
        self._made = 1
        self._idle.append(first)

    def take(self, until: float) -> Instance[C]:
        """Return an instance nobody else has; EvaluationTimeout when none comes free in time."""
        return self._pop() or self._wait_or_make(until)

    def give(self, instance: Instance[C]) -> None:
        """Take an instance back; a broken or swollen one is closed."""
        if instance.broken or self._retired:
            self._drop(instance)
            return
        instance.held = instance.size()
        if instance.held > self._threshold:
            self._drop(instance)
            return
        self._idle.append(instance)
        if self._waiting:
            with self._changed:
                self._changed.notify()
        self._settle()

    def usage(self) -> tuple[int, int]:
        """Return how many instances there are, and their memory in bytes; of busy ones what a fresh one has."""
        # What is idle now may be taken meanwhile, so nobody else's instance is looked into.
        idle, made = [each.held for each in tuple(self._idle)], self._made
        return made, sum(idle) + max(made - len(idle), 0) * self._size_at_first

    def retire(self) -> None:
        """Free idle instances now and the others when they come back.

        Whoever still holds this generation is answered all the same.
        """
        self._retired = True
        self._drain()

    def forget(self) -> None:
        """Start over in a forked child: instances in use by threads left behind never come back."""
        self._changed = threading.Condition()
        self._made, self._waiting = len(self._idle), 0

    def _pop(self) -> Instance[C] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _settle(self) -> None:
        # Retired between the look at it and the append: nobody else would free it.
        if self._retired:
            self._drain()

    def _drain(self) -> None:
        while (instance := self._pop()) is not None:
            self._drop(instance)

    def _drop(self, instance: Instance[C]) -> None:
        instance.close()
        with self._changed:
            self._made -= 1
            self._changed.notify()

    def _wait_or_make(self, until: float) -> Instance[C]:
        with self._changed:
            self._waiting += 1
            try:
                # Looked for again after `_waiting` was raised: from now on, who gives
                # an instance back sees that somebody waits.
                while (found := self._pop()) is None and self._made >= self._size:
                    if not self._changed.wait(until - time.monotonic()):
                        raise EvaluationTimeout("All instances of this policy were busy until the deadline.")
                if found is not None:
                    return found
                self._made += 1
            finally:
                self._waiting -= 1
        return self._copy()

    def _copy(self) -> Instance[C]:
        try:
            instance = self._start()
            try:
                instance.restore(self.snapshot)
            except BaseException:
                instance.close()
                raise
        except BaseException:
            with self._changed:
                self._made -= 1
                self._changed.notify()
            raise
        return instance

    def _start(self) -> Instance[C]:
        return Instance(self._module, self._functions, memory_limit=self._memory_limit)


class Pool(Generic[C]):
    """Evaluates, from any thread; instances are made when they are needed."""

    def __init__(
        self,
        module: Module,
        functions: Mapping[int, HostFunction[C]],
        *,
        data: bytes | None,
        memory_limit: int = 256 << 20,
        size: int = 8,
    ) -> None:
        """Load the data into a first instance.

        ``functions`` answers the module's builtins by id; ``data`` is JSON text
        of an object (None: an empty one); ``memory_limit`` is in bytes and for
        each instance; at most ``size`` evaluations run at a time.

        Raises:
            InvalidJson: the data is no JSON object.
            MemoryExceeded: module and data do not fit into the limit.
        """
        self._module = module
        self._functions = functions
        self._memory_limit = memory_limit
        self._size = size
        self._swapping = threading.Lock()
        self._generation = self._make(data)
        module.runtime.on_fork(self)

    def evaluate(
        self, text: bytes | None, *, entrypoint: str | None, call: C, deadline: float, checked: bool = False
    ) -> bytes | None:
        """Evaluate once; return compact JSON text, None when undefined.

        ``text`` is the input as JSON, None when there is none (which is not
        null); ``checked`` says that it is known to be strict JSON. ``entrypoint``
        None means the module's first; ``deadline`` is in seconds and includes
        waiting for an instance.

        Raises:
            InvalidJson: the input is not strict JSON.
            EntrypointNotFound: the module has no such entrypoint.
            EvaluationError: in all its kinds, or what a builtin raised.
        """
        until = time.monotonic() + deadline
        number = self._find(entrypoint)
        if text is not None and not checked:
            text = strict(text)
        generation = self._generation
        instance = generation.take(until)
        try:
            answer = instance.evaluate(number, text, call, until=until)
        finally:
            generation.give(instance)
        if answer == _UNDEFINED:
            return None
        if not (answer.startswith(_HEAD) and answer.endswith(_TAIL)):
            raise EvaluationAborted("The module answered with something else than one result.")
        return to_json(answer[len(_HEAD) : -len(_TAIL)])

    def set_data(self, data: bytes | None) -> None:
        """Build instances with other data aside, then swap; evaluations under way keep the old."""
        with self._swapping:
            fresh = self._make(data)
            old, self._generation = self._generation, fresh
        old.retire()

    def usage(self) -> tuple[int, int]:
        """Return how many instances there are, and about how many bytes of memory they have."""
        return self._generation.usage()

    def close(self) -> None:
        """Free idle instances now, busy ones when they are done.

        An evaluation that comes later is still answered: who swaps a policy for
        another must not fail callers that found the old one just before.
        """
        self._generation.retire()

    def forget(self) -> None:
        """Start over in a forked child."""
        self._swapping = threading.Lock()
        self._generation.forget()

    def _find(self, entrypoint: str | None) -> int:
        entrypoints = self._module.entrypoints
        if entrypoint is None:
            return next(iter(entrypoints.values()), 0)
        number = entrypoints.get(entrypoint)
        if number is None:
            known = ", ".join(entrypoints)
            raise EntrypointNotFound(f"The policy has no entrypoint {entrypoint}; it has {known or 'none'}.")
        return number

    def _make(self, data: bytes | None) -> Generation[C]:
        text = strict(b"{}" if data is None else data)
        if not is_object(text):
            raise InvalidJson("The policy's data is not a JSON object.")
        made = Generation(self._module, self._functions, self._memory_limit, self._size)
        made.open(text)
        return made
