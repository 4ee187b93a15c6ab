"""Spans as the code begins and ends them, without OpenTelemetry."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from policy_server.tracing import spans
from policy_server.tracing.spans import Kind, Value
from policy_server.tracing.trace import Trace, here


@dataclass
class Recorded:
    """One span, and what became of it."""

    name: str
    kind: Kind
    attributes: dict[str, Value]
    parent: Trace | None
    trace: Trace
    failure: str | None = None
    ended: bool = False

    def set(self, name: str, value: Value) -> None:
        """Keep a fact."""
        self.attributes[name] = value

    def rename(self, name: str) -> None:
        """Take the other name."""
        self.name = name

    def fail(self, why: str) -> None:
        """Keep why."""
        self.failure = why

    def end(self) -> None:
        """Be over."""
        self.ended = True


@dataclass
class Recorder:
    """A tracer that keeps everything."""

    spans: list[Recorded] = field(default_factory=list)

    def begin(self, name: str, kind: Kind, attributes: Mapping[str, Value], parent: Trace | None) -> Recorded:
        """Keep a span; ids are numbers."""
        number = len(self.spans) + 1
        trace_id = f"{number:032x}" if parent is None else parent.trace_id
        state = "" if parent is None else parent.state
        made = Recorded(
            name,
            kind,
            dict(attributes),
            parent,
            Trace(trace_id, f"{number:016x}", sampled=True, state=state, span=self),
        )
        self.spans.append(made)
        return made

    def named(self, name: str) -> Recorded:
        """Return the only span of a name; it must be over."""
        (found,) = (each for each in self.spans if each.name == name)
        assert found.ended
        return found

    def children(self, parent: Recorded) -> list[str]:
        """Return the names of the spans right below one."""
        return [each.name for each in self.spans if each.parent is not None and each.parent == parent.trace]


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Record the spans of this process for a while; outside of any trace before and after."""
    recorder = Recorder()
    with monkeypatch.context() as patched:
        patched.setattr(spans, "tracer", recorder)
        assert here.get() is None
        yield recorder
        assert here.get() is None
