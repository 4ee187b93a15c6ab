"""A compilation is timed and told of, and is otherwise what it was."""

import pytest
from span_recorder import recording

from policy_server.compiler.measured import MeasuredCompiler
from policy_server.model.errors import CompileError
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicyId, PolicySource

SOURCE = PolicySource(PolicyId("r", "g", "n", "1.0"), "package g.n")
COMPILED = CompiledPolicy(b"wasm", Manifest("d", "s", "1", Dialect.V1, ("g/n",), ()))


class Compiler:
    """Compiles the same always, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Do as it was made to."""
        if self._error is not None:
            raise self._error
        return COMPILED


def test_time_and_outcome_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a span of the policy, when spans are recorded."""
    heard: list[tuple[float, str | None]] = []
    times = iter((10.0, 12.5))
    compiler = MeasuredCompiler(Compiler(), lambda *seen: heard.append(seen), timer=lambda: next(times))

    with recording(monkeypatch) as recorder:
        found = compiler.compile(SOURCE)

    assert (found, heard) == (COMPILED, [(2.5, None)])
    assert recorder.named("policy.compile").attributes == {"policy.id": "r/g/n/1.0"}


def test_a_failure_is_told_by_its_slug_and_raised() -> None:
    """As it was."""
    heard: list[tuple[float, str | None]] = []
    error = CompileError("no")
    compiler = MeasuredCompiler(Compiler(error), lambda *seen: heard.append(seen), timer=lambda: 0.0)

    with pytest.raises(CompileError) as caught:
        compiler.compile(SOURCE)

    assert caught.value is error
    assert heard == [(0.0, CompileError.slug)]
