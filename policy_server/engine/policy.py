"""A policy ready to run: compiled module, data document and builtins, joined."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from policy_server.builtins.call import Call, Memo
from policy_server.builtins.registry import Registry
from policy_server.model.values import UNDEFINED, Json, Undefined
from policy_server.wasm.module import Module, ModuleCache
from policy_server.wasm.pool import Pool
from policy_server.wasm.strict import read, written

MEMORY_LIMIT: Final = 256 << 20
"""Memory of one instance, in bytes."""

DEADLINE: Final = 2.0
"""Time for one evaluation, in seconds."""

SIZE: Final = 8
"""How many evaluations of one policy run at a time."""

_NO_HEADERS: Final[Mapping[str, str]] = {}


class Policy:
    """Answers questions, from any thread; made by ``load``.

    ``entrypoints`` are the paths that can be asked, the first is the default;
    ``builtins`` the names of the functions the module leaves to the host.
    """

    def __init__(self, module: Module, pool: Pool[Call], *, deadline: float, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._deadline = deadline
        self._clock = clock
        self.digest = module.digest
        self.entrypoints: tuple[str, ...] = tuple(module.entrypoints)
        self.builtins: tuple[str, ...] = tuple(sorted(module.builtins.values()))

    @classmethod
    def load(
        cls,
        wasm: bytes,
        *,
        data: bytes | None = None,
        modules: ModuleCache | None = None,
        registry: Registry | None = None,
        memory_limit: int = MEMORY_LIMIT,
        deadline: float = DEADLINE,
        size: int = SIZE,
        clock: Callable[[], int] = time.time_ns,
    ) -> "Policy":
        """Make a policy of a compiled module and the JSON text of its data.

        ``memory_limit`` is in bytes for each of at most ``size`` instances,
        ``deadline`` in seconds for evaluations that bring none of their own;
        ``clock`` tells the nanoseconds that ``time.now_ns`` answers.

        Raises:
            InvalidModule: this is not a module OPA made, or of another ABI.
            UnknownBuiltin: it calls functions nobody here answers.
            InvalidJson: the data is not a JSON object.
            MemoryExceeded: module and data do not fit into the limit.
        """
        module = (ModuleCache(None) if modules is None else modules).load(wasm)
        functions = (Registry.discover() if registry is None else registry).functions(module.builtins)
        pool = Pool(module, functions, data=data, memory_limit=memory_limit, size=size)
        return cls(module, pool, deadline=deadline, clock=clock)

    def evaluate_json(
        self,
        input: bytes | None = None,
        *,
        entrypoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        strict: bool = False,
        errors: list[str] | None = None,
        printed: list[str] | None = None,
        trusted: bool = False,
        memo: Memo | None = None,
    ) -> bytes | None:
        """Evaluate; JSON text in, compact JSON text with sorted keys out.

        ``input`` None means no input, which is not null; the answer None means
        undefined. ``deadline`` is in seconds. Failures of builtins are undefined
        and their messages are added to ``errors``; with ``strict`` they raise. What
        the policy prints is added to ``printed``, a line each, a thousand at most.
        ``trusted`` input was written by a JSON library in this process and is not
        checked again: the module would accept much that is no JSON. ``memo`` keeps what
        functions answered, for whoever evaluates the same question once more.

        Raises:
            InvalidJson: the input is not strict JSON.
            EntrypointNotFound: the policy has no such entrypoint.
            EvaluationError: EvaluationTimeout, MemoryExceeded, RuleConflict,
                BuiltinFailed, EvaluationAborted, EvaluationTrapped, ResultTooLarge.
            ToolkitError: a function needs OPA's toolkit, and that broke.
        """
        return self._ask(
            input, entrypoint, headers, deadline, strict=strict, notes=(errors, printed), checked=trusted, memo=memo
        )

    def evaluate(
        self,
        input: Json | Undefined = UNDEFINED,
        *,
        entrypoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        strict: bool = False,
        errors: list[str] | None = None,
        printed: list[str] | None = None,
    ) -> Json | Undefined:
        """Evaluate; values in, value out, UNDEFINED when there is no answer.

        Like ``evaluate_json`` in all else. Sets come back as sorted lists,
        integers of any size exactly, other numbers as float.
        """
        text = None if input is UNDEFINED else written(input)
        answer = self._ask(text, entrypoint, headers, deadline, strict=strict, notes=(errors, printed), checked=True)
        return UNDEFINED if answer is None else read(answer)

    def set_data(self, data: Json | bytes) -> None:
        """Replace the data document by this object, or this JSON text of one.

        It is built aside and swapped whole: evaluations under way keep the old
        one, and when this raises nothing has changed.

        Raises:
            InvalidJson: it is not a JSON object.
            MemoryExceeded: it does not fit into the limit.
        """
        self._pool.set_data(data if isinstance(data, bytes) else written(data))

    def usage(self) -> tuple[int, int]:
        """Return how many instances there are, and about how many bytes of memory they have."""
        return self._pool.usage()

    def close(self) -> None:
        """Free its memory; evaluations under way, and late ones, are still answered."""
        self._pool.close()

    def _ask(
        self,
        text: bytes | None,
        entrypoint: str | None,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        *,
        strict: bool,
        notes: tuple[list[str] | None, list[str] | None],
        checked: bool,
        memo: Memo | None = None,
    ) -> bytes | None:
        seconds = self._deadline if deadline is None else deadline
        call = Call(
            _NO_HEADERS if headers is None else headers,
            self._clock(),
            time.monotonic() + seconds,
            strict=strict,
            errors=notes[0],
            printed=notes[1],
            memo=memo,
        )
        return self._pool.evaluate(text, entrypoint=entrypoint, call=call, deadline=seconds, checked=checked)
