"""Asks one policy, in this process: the WebAssembly runtime, and OPA's interpreter beside it."""

import time
from collections.abc import Mapping
from pathlib import Path

from policy_server.authoring.asking import UNSTEADY, Asked, Told, interpret, same, written
from policy_server.authoring.testing import merged, missed_rows, percent
from policy_server.builtins.call import Call, Memo
from policy_server.cli import output
from policy_server.cli.tools import functions_of, open_toolkit, policy_data, policy_module, ready_policy, ready_toolkit
from policy_server.compiler.compiler import FILE
from policy_server.engine.explaining import query_of
from policy_server.model.errors import EvaluationError, EvaluationTimeout, MemoryExceeded
from policy_server.model.values import UNDEFINED, JsonObject
from policy_server.settings import Settings


class Question:
    """A policy that was loaded, and what it is asked.

    ``disagrees`` is set when OPA's interpreter was asked, and did not give the same answer.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Path,
        data: Path | None,
        document: bytes | None,
        headers: Mapping[str, str],
        entrypoint: str | None,
    ) -> None:
        """Compile and load it; PublishError, LoadError."""
        self._settings = settings
        self._input = document
        self._headers = headers
        # One time for both, so that they can be compared.
        self._now = time.time_ns()
        # A module may need nothing of the toolkit, which then need not be made ready.
        self.toolkit = open_toolkit(settings) if policy.suffix == ".wasm" else ready_toolkit(settings)
        self._registry = functions_of(settings, self.toolkit)
        self.module = policy_module(settings, self.toolkit, policy)
        self.data = policy_data(policy, data)
        self._policy = ready_policy(
            settings, self.module.wasm, self.data, toolkit=self.toolkit, clock=lambda: self._now
        )  # fmt: skip
        self._entrypoint = entrypoint or self._policy.entrypoints[0]
        self.disagrees = False

    def evaluate(self, printed: list[str] | None = None, memo: Memo | None = None) -> bytes | None:
        """Evaluate in WebAssembly, as the server does; ``memo`` keeps what functions answered."""
        return self._policy.evaluate_json(
            self._input, entrypoint=self._entrypoint, headers=self._headers, printed=printed, memo=memo
        )  # fmt: skip

    def asked(self) -> Asked:
        """Return the same question for the interpreter."""
        return Asked(
            rego=self.module.rego or "",
            dialect=self.module.dialect,
            query=query_of(self._entrypoint),
            data=self.data,
            input=self._input,
            headers=self._headers,
            now_ns=self._now,
        )

    def answered(self, memo: Memo | None = None) -> bytes | None:
        """Evaluate, and tell what is printed."""
        printed: list[str] = []
        try:
            return self.evaluate(printed, memo)
        finally:
            for line in printed:
                output.say(line)

    def explained(self, level: str, *, coverage: bool) -> bytes | None:
        """Evaluate in both places; tell trace, coverage, and whether they agree."""
        value: bytes | None = None
        failure: EvaluationError | None = None
        # One memory for both, so that what a policy makes others do is done once.
        memo: Memo = {}
        try:
            value = self.answered(memo)
        except EvaluationError as error:
            failure = error
        told: Told | EvaluationError
        try:
            told = interpret(
                self.toolkit,
                self._registry,
                self.asked(),
                deadline=self._settings.toolkit_deadline,
                level=level,
                coverage=coverage,
                memo=memo,
            )
        except EvaluationError as error:
            told = error
        if isinstance(told, Told):
            if told.trace:
                output.say(told.trace.rstrip("\n"))
            if told.coverage is not None:
                _tell_coverage(told.coverage)
        self._compare(value, failure, told)
        if failure is not None:
            raise failure
        return value

    def _compare(self, value: bytes | None, failure: EvaluationError | None, told: Told | EvaluationError) -> None:
        if isinstance(told, EvaluationTimeout | MemoryExceeded):
            self.disagrees = failure is None
            output.say(f"policy-server: OPA's interpreter could not finish: {told.message}")
            return
        if failure is not None and not isinstance(told, Told):
            return
        if failure is None and isinstance(told, Told):
            if same(value, told.value):
                return
            if unsteady := UNSTEADY.intersection(self._policy.builtins):
                output.say(f"policy-server: not compared, because {', '.join(sorted(unsteady))} is called")
                return
        self.disagrees = True
        output.say("policy-server: OPA's interpreter and WebAssembly do not agree")
        output.say(f"wasm: {failure.message if failure is not None else _shown(value)}")
        output.say(f"interpreter: {written(told.value) if isinstance(told, Told) else told.message}")

    def interpreted(self, *, count: int, seconds: float) -> list[int]:
        """Evaluate in the interpreter again and again; return each time in nanoseconds."""
        asked = self.asked()
        call = Call(self._headers, self._now, time.monotonic() + self._settings.toolkit_deadline + seconds)
        return self.toolkit.bench(
            asked.query,
            {FILE: asked.rego},
            data=asked.data,
            input=UNDEFINED if asked.input is None else asked.input,
            dialect=asked.dialect,
            count=count,
            seconds=seconds,
            builtins=self._registry.declarations(),
            host=self._registry.host(call),
        )

    def close(self) -> None:
        """Free the module's memory."""
        self._policy.close()


def _shown(value: bytes | None) -> str:
    return "undefined" if value is None else value.decode()


def _tell_coverage(report: JsonObject) -> None:
    whole = merged([report])
    files = whole["files"]
    for name, each in (files if isinstance(files, dict) else {}).items():
        missed = missed_rows(each)
        output.say(f"{name}: {percent(each):g} % reached" + (f", not rows {missed}" if missed else ""))
