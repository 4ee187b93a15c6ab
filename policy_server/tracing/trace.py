"""The place in a trace that this thread works at, as W3C Trace Context writes it.

A request may say which trace it belongs to although nobody here records one: log lines carry it then, and the
operator's own services are told.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_LATER: Final = re.compile(r"(?!00)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}-.*")
_LENGTH: Final = 55
_LONGEST_STATE: Final = 512


@dataclass(frozen=True, slots=True)
class Trace:
    """A span: the trace it belongs to and its own id, both in lower-case hexadecimal digits.

    ``sampled``: it is recorded. ``state`` is what tracing systems tell each other. ``span`` is the library's
    own object of a span of this process, None for one of somebody else.
    """

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""
    span: object | None = None


here: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
"""The span this thread works at; None outside of any trace."""


def read(parent: object, state: object = "") -> Trace | None:
    """Read the headers ``traceparent`` and ``tracestate`` of a request; None when the first cannot be used."""
    if not isinstance(parent, str):
        return None
    text = parent.strip()
    # A later version may say more after what this one says.
    found = _PARENT.fullmatch(text[:_LENGTH])
    if found is None or (len(text) > _LENGTH and _LATER.fullmatch(text) is None):
        return None
    usable = isinstance(state, str) and len(state) <= _LONGEST_STATE and state.isascii() and state.isprintable()
    return Trace(found[1], found[2], bool(int(found[3], 16) & 1), str(state) if usable else "")


def headers() -> dict[str, str]:
    """Return the headers that make somebody's work a part of this trace; none outside of any."""
    trace = here.get()
    if trace is None:
        return {}
    found = {"traceparent": f"00-{trace.trace_id}-{trace.span_id}-{'01' if trace.sampled else '00'}"}
    if trace.state:
        found["tracestate"] = trace.state
    return found


def fields() -> dict[str, str]:
    """Return what log lines say about the trace; nothing outside of any."""
    trace = here.get()
    if trace is None:
        return {}
    # A span of somebody else is not where this was done.
    return {"trace_id": trace.trace_id} | ({} if trace.span is None else {"span_id": trace.span_id})
