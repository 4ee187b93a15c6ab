"""OPA in this process: compile, check, format, test, trace, and every builtin function."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from policy_server.model.errors import (
    BuiltinFailed,
    CompileLimit,
    EvaluationTimeout,
    MemoryExceeded,
    ToolkitError,
)
from policy_server.model.policy import Dialect
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.toolkit.answers import result_of
from policy_server.toolkit.instance import Answered, HostCall, OutOfMemory, OutOfStack, OutOfTime
from policy_server.toolkit.machine import MachineCode, Progress
from policy_server.toolkit.requests import Built, BuiltTest, BuiltTests, Request, encoded, fixed, query_of
from policy_server.toolkit.workshop import CALLER_STACK, DEEP_STACK, Workshop, on_deep_stack

Declarations = Sequence[JsonObject]
"""Builtins that the host adds to OPA's: name, decl, nondeterministic, as in OPA's capabilities."""

_KEEP_BELOW = 160 << 20
_MOST = 255


class Toolkit:
    """Safe for threads; loads on first use; one object a process, made after the fork.

    ``module`` is opa-toolkit.wasm or .wasm.xz, ``cache`` the directory for the
    machine code made of it. ``size`` instances do long work and as many others
    answer builtins, so that a long compilation never delays an evaluation.
    """

    def __init__(
        self, module: Path, *, cache: Path, memory_limit: int = 1 << 30, deadline: float = 30.0, size: int = 2
    ) -> None:
        self._code = code = MachineCode(module, cache)
        self._memory_limit = memory_limit
        self._deadline = deadline
        self._jobs = Workshop(code, stack=DEEP_STACK, size=size, memory_limit=memory_limit, keep_below=_KEEP_BELOW)
        self._calls = Workshop(code, stack=CALLER_STACK, size=size, memory_limit=memory_limit, keep_below=_KEEP_BELOW)

    def loaded(self) -> bool:
        """Return whether the toolkit has been used already."""
        return self._jobs.is_open() or self._calls.is_open()

    def digest(self) -> str:
        """Return the SHA-256 of the toolkit file in hex: what it makes depends on nothing else."""
        return self._code.digest()

    def prepare(self, progress: Progress | None = None) -> None:
        """Load now, compiling for this machine when that was never done; ToolkitMissing, ToolkitError."""
        self._jobs.open(progress)
        self._calls.open()

    def close(self) -> None:
        """Give memory back; the next use loads again."""
        self._jobs.close()
        self._calls.close()

    def make(
        self,
        modules: Mapping[str, str],
        entrypoints: Sequence[str],
        *,
        dialect: Dialect,
        capabilities: JsonObject | None = None,
        builtins: Declarations = (),
    ) -> Built:
        """Compile to WebAssembly; annotated entrypoints are added to the given ones.

        Raises:
            CompileError: with a problem for each Rego error.
            CompileLimit: time or memory ran out.
            ToolkitError: the toolkit is missing, wrong or broke.
        """
        answer, wasm = self._compiling(
            {
                "op": "build",
                "modules": modules,
                "entrypoints": entrypoints,
                "dialect": fixed(dialect),
                "capabilities": capabilities,
                "builtins": builtins,
            }
        )
        names = cast("Mapping[str, Sequence[str]]", answer)
        return Built(wasm, tuple(names["entrypoints"]), tuple(names["builtins"]))

    def build(
        self,
        modules: Mapping[str, str],
        entrypoints: Sequence[str],
        *,
        dialect: Dialect,
        capabilities: JsonObject | None = None,
        builtins: Declarations = (),
    ) -> bytes:
        """Compile to WebAssembly like `make`, returning the module alone."""
        return self.make(modules, entrypoints, dialect=dialect, capabilities=capabilities, builtins=builtins).wasm

    def make_tests(
        self,
        modules: Mapping[str, str],
        *,
        dialect: Dialect,
        only: Sequence[tuple[str, int, int]] = (),
        builtins: Declarations = (),
    ) -> BuiltTests:
        """Compile the test rules of modules to WebAssembly, tests of one name get names of their own.

        ``only`` are the places (file, row, column) of the tests that are wanted, none means all.

        Raises:
            CompileError, CompileLimit, ToolkitError: as `make`.
        """
        answer, wasm = self._compiling(
            {
                "op": "build_tests",
                "modules": modules,
                "dialect": fixed(dialect),
                "builtins": builtins,
                "places": [{"file": file, "row": row, "col": col} for file, row, col in only],
            }
        )
        said = cast("Mapping[str, Sequence[Mapping[str, str]]]", answer)
        tests = tuple(BuiltTest(**each) for each in said["tests"])  # type: ignore[arg-type]  # Go's struct is this one
        return BuiltTests(wasm, tests, tuple(map(str, said["builtins"])))

    def check(
        self,
        modules: Mapping[str, str],
        *,
        dialect: Dialect,
        strict: bool = False,
        capabilities: JsonObject | None = None,
        builtins: Declarations = (),
        schemas: JsonObject | None = None,
    ) -> None:
        """Parse and type check; CompileError, CompileLimit, ToolkitError.

        ``schemas`` are JSON Schemas by path (``input``, ``data/users``), used by schema annotations.
        """
        self._compiling(
            {
                "op": "check",
                "modules": modules,
                "dialect": fixed(dialect),
                "strict": strict,
                "capabilities": capabilities,
                "builtins": builtins,
                "schemas": schemas or {},
            }
        )

    def fmt(self, text: str, *, dialect: Dialect, name: str = "policy.rego") -> str:
        """Return the text in OPA's layout; CompileError when it does not parse."""
        answer, _ = self._compiling({"op": "fmt", "text": text, "name": name, "dialect": fixed(dialect)})
        return cast("str", answer)

    def parse(self, text: str, *, dialect: Dialect, name: str = "policy.rego") -> Json:
        """Return OPA's syntax tree; CompileError when it does not parse."""
        return self._compiling({"op": "parse", "text": text, "name": name, "dialect": fixed(dialect)})[0]

    def inspect(self, modules: Mapping[str, str], *, dialect: Dialect) -> Json:
        """Tell what modules hold, without compiling them.

        ``files`` has for each file ``package`` (its parts), ``row``, ``col``, ``imports`` and
        ``rules`` (``path``, ``function``, ``default``, ``row``, ``col``); ``annotations`` are OPA's;
        ``entrypoints`` the slash-separated paths of the annotated ones.
        """
        return self._compiling({"op": "inspect", "modules": modules, "dialect": fixed(dialect)})[0]

    def test(
        self,
        modules: Mapping[str, str],
        *,
        data: Json | bytes = None,
        dialect: Dialect,
        coverage: bool = False,
        run: str = "",
        capabilities: JsonObject | None = None,
        builtins: Declarations = (),
        host: HostCall | None = None,
    ) -> Json:
        """Run the test rules whose full name fits the regular expression ``run``; ``data`` may be JSON text.

        ``results`` has for each test ``package``, ``name``, ``status`` (pass, fail, error, skip), ``file``,
        ``row``, ``duration_ns`` and where there is something to tell ``output``, ``failed_at``, ``problems``,
        ``cases``; ``passed``, ``failed``, ``errored`` and ``skipped`` count; ``coverage`` is OPA's report.
        """
        return self._evaluating(
            {
                "op": "test",
                "modules": modules,
                "data": data,
                "dialect": fixed(dialect),
                "coverage": coverage,
                "run": run,
                "capabilities": capabilities,
                "builtins": builtins,
            },
            host,
        )

    def eval(  # noqa: PLR0913 these are the options of `opa eval`
        self,
        query: str,
        modules: Mapping[str, str],
        *,
        data: Json | bytes = None,
        input: Json | Undefined | bytes = UNDEFINED,
        dialect: Dialect,
        trace: str = "off",
        trace_limit: int = 0,
        text_only: bool = False,
        spelled: bool = False,
        strict_errors: bool = False,
        coverage: bool = False,
        package: str = "",
        imports: Sequence[str] = (),
        now_ns: int = 0,
        capabilities: JsonObject | None = None,
        builtins: Declarations = (),
        host: HostCall | None = None,
        deadline: float | None = None,
    ) -> JsonObject:
        """Evaluate a query in OPA's interpreter.

        ``data`` and ``input`` may be JSON text. ``package`` and ``imports`` are where names of the query
        are looked for; ``now_ns`` is the time, 0 the real one; ``deadline`` is in seconds.

        ``result`` is what ``opa eval`` has there (empty when undefined); ``print`` the first 1000 printed lines;
        ``errors`` the builtin errors that became undefined. ``trace`` is off, notes, fails or full and
        adds ``trace`` (events with ``op``, ``file``, ``row``, ``text``, ``locals``…), ``trace_text`` and
        whether it was ``trace_cut`` after ``trace_limit`` events (0: no limit). ``text_only`` leaves out
        the result and the events, which can be large. ``spelled`` keeps every digit of a number (`answers.Spelled`).
        ``host`` answers the builtins that only the host has, and those that need a network.

        Raises:
            CompileError: query or modules do not compile.
            RuleConflict, BuiltinFailed, EvaluationError: the evaluation failed, with its place.
            EvaluationTimeout, MemoryExceeded, ToolkitError: it could not be finished.
        """
        request = query_of(query, modules, data, input, dialect) | {
            "op": "eval",
            "trace": trace,
            "trace_limit": trace_limit,
            "text_only": text_only,
            "strict_errors": strict_errors,
            "coverage": coverage,
            "package": package,
            "imports": imports,
            "now_ns": now_ns,
            "capabilities": capabilities,
            "builtins": builtins,
        }
        return cast("JsonObject", self._evaluating(request, host, deadline, spelled=spelled))

    def bench(
        self,
        query: str,
        modules: Mapping[str, str],
        *,
        data: Json | bytes = None,
        input: Json | Undefined | bytes = UNDEFINED,
        dialect: Dialect,
        count: int,
        seconds: float,
        builtins: Declarations = (),
        host: HostCall | None = None,
    ) -> list[int]:
        """Evaluate a prepared query until it was ``count`` times or took ``seconds``; return each time in nanoseconds.

        Raises:
            CompileError, EvaluationError, ToolkitError: as `eval`.
        """
        request = query_of(query, modules, data, input, dialect) | {
            "op": "bench",
            "count": count,
            "seconds": seconds,
            "builtins": builtins,
        }
        answer = self._evaluating(request, host, self._deadline + seconds)
        return cast("Mapping[str, list[int]]", answer)["durations_ns"]

    def builtin(
        self, name: str, args: Sequence[bytes], *, now_ns: int, seed: int, deadline: float | None = None
    ) -> bytes | None:
        """Call one of OPA's builtins; arguments and answer are Rego value text, None is undefined.

        Sets and the keys of objects come out sorted. The same time, seed, name and arguments give the same answer.

        Raises:
            BuiltinFailed: the function says so, in OPA's words.
            EvaluationTimeout, MemoryExceeded: it did not finish.
            ToolkitError: OPA has no such function, or it needs a network.
        """
        spelled = name.encode()
        if len(spelled) > _MOST or len(args) > _MOST:
            raise ToolkitError("OPA has no function with such a name, or so many arguments.")
        parts = [struct.pack("<qQB", now_ns, seed & 0xFFFFFFFFFFFFFFFF, len(spelled)), spelled, bytes((len(args),))]
        for arg in args:
            parts += (len(arg).to_bytes(4, "little"), arg)
        try:
            answer = self._calls.run(
                lambda instance: instance.send("builtin", b"".join(parts)),
                self._deadline if deadline is None else deadline,
            )
        except OutOfTime as error:
            raise EvaluationTimeout(f"The function {name} did not finish before its deadline.") from error
        except (OutOfMemory, OutOfStack) as error:
            raise MemoryExceeded(f"The function {name} needed more memory than it may use.") from error
        status = answer[0]
        if status == Answered.VALUE:
            return answer[1:]
        if status == Answered.UNDEFINED:
            return None
        message = answer[1:].decode(errors="replace")
        raise ToolkitError(message) if status == Answered.UNAVAILABLE else BuiltinFailed(message)

    def capabilities(self) -> Json:
        """Return OPA's own capabilities."""
        return self._compiling({"op": "capabilities"})[0]

    def functions(self) -> Sequence[Mapping[str, str]]:
        """Return OPA's functions: ``name``, what ``runs`` it (module, guarded, host), how WebAssembly ``differs``."""
        return cast("Sequence[Mapping[str, str]]", self._compiling({"op": "functions"})[0])

    def version(self) -> Mapping[str, str]:
        """Return the versions of ``opa``, ``go`` and the ``toolkit`` itself."""
        return cast("Mapping[str, str]", self._compiling({"op": "version"})[0])

    def _compiling(self, request: JsonObject) -> tuple[Json, bytes]:
        try:
            answer, attached = self._send(request, None, self._deadline)
        except OutOfTime as error:
            raise CompileLimit(f"The compiler did not finish within {self._deadline:g} seconds.") from error
        except OutOfMemory as error:
            limit = self._memory_limit >> 20
            raise CompileLimit(f"The compiler needed more than the {limit} MiB of memory it may use.") from error
        except OutOfStack as error:
            raise CompileLimit("The source is nested too deeply for the compiler.") from error
        return result_of(answer), attached

    def _evaluating(
        self, request: Request, host: HostCall | None, deadline: float | None = None, *, spelled: bool = False
    ) -> Json:
        seconds = self._deadline if deadline is None else deadline
        try:
            answer, _ = self._send(request, host, seconds)
        except OutOfTime as error:
            raise EvaluationTimeout(f"The evaluation did not finish within {seconds:g} seconds.") from error
        except (OutOfMemory, OutOfStack) as error:
            raise MemoryExceeded from error
        return result_of(answer, spelled=spelled)

    def _send(self, request: Request, host: HostCall | None, seconds: float) -> tuple[bytes, bytes]:
        text = encoded(request)

        return on_deep_stack(lambda: self._jobs.run(lambda instance: instance.call(text, host=host), seconds))
