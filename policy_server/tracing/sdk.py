"""Records spans with OpenTelemetry and sends them to the collector; imported only where that was asked for.

The library's own variables say where to, how much and under which name. Its batches are sent by a thread of its own
from a bounded queue: a collector that is away or slow costs spans, and nobody's time.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Attributes, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.span import TraceState

from policy_server.tracing import spans
from policy_server.tracing.spans import Kind, Span, Value
from policy_server.tracing.trace import Trace
from policy_server.tracing.wanted import ENDPOINTS
from policy_server.version import VERSION

FLUSH: Final = 3.0
"""How long the end of a worker waits for the collector, in seconds."""

_SELDOM: Final = 60.0
_KINDS: Final = {
    Kind.INTERNAL: api.SpanKind.INTERNAL,
    Kind.SERVER: api.SpanKind.SERVER,
    Kind.CLIENT: api.SpanKind.CLIENT,
}
_FAILED: Final = api.Status(api.StatusCode.ERROR)
log = logging.getLogger(__name__)


class OtelSpan:
    """A span of the library."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: api.Span) -> None:
        """Take the library's span."""
        self._span = span
        context = span.get_span_context()
        self.trace = Trace(
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            context.trace_flags.sampled,
            context.trace_state.to_header() if context.trace_state else "",
            span,
        )

    def set(self, name: str, value: Value) -> None:
        """Note a fact."""
        self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        """Give it a better name than the first."""
        self._span.update_name(name)

    def fail(self, why: str) -> None:
        """Note that it failed."""
        self._span.set_status(_FAILED)
        self._span.set_attribute("error.type", why)

    def end(self) -> None:
        """Note that it is over."""
        self._span.end()


class OtelTracer:
    """Makes the library's spans.

    PERF: the place in the trace is kept by us alone; the library would keep it, too, in a context of its own.
    """

    def __init__(self, provider: TracerProvider) -> None:
        """Take who knows the sampler and where spans go."""
        self._tracer = provider.get_tracer("policy_server", VERSION)

    def begin(self, name: str, kind: Kind, attributes: Mapping[str, Value], parent: Trace | None) -> Span:
        """Begin a span."""
        begun = self._tracer.start_span(
            name,
            context=_context(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        return OtelSpan(begun)


class Seldom(logging.Filter):
    """Lets one record through a minute: a collector that is away is no news after the first time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the time, in seconds."""
        super().__init__()
        self._clock = clock
        self._next = -_SELDOM

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - which one makes no difference
        """Tell whether the last one is long enough ago."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _SELDOM
        return True


def start(exporter: SpanExporter | None = None) -> Callable[[], None]:
    """Record the spans of this process from now on; returns what sends the last of them and ends it.

    ``exporter`` replaces the one that the environment describes. Whatever the library does not like about its variables
    is raised as it comes.
    """
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter or trace_exporter.OTLPSpanExporter())
    provider.add_span_processor(processor)
    spans.tracer = OtelTracer(provider)
    logging.getLogger(trace_exporter.__name__).addFilter(Seldom())
    log.info("traces are sent to %s", _address(), extra={"action": "tracing.started"})

    def stop() -> None:
        spans.tracer = None
        # NOTE: the library's own time limit does not count while a request to the collector hangs.
        last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(FLUSH)
        if last.is_alive():
            log.warning("the last spans were not sent within %g s", FLUSH, extra={"action": "tracing.lost"})

    return stop


def _resource() -> Resource:
    """Say who we are, as far as the environment does not say so itself."""
    ours: Attributes = {"service.name": "policy-server", "service.version": VERSION, "process.pid": os.getpid()}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


def _address() -> str:
    """Return where spans go, without path, user and password."""
    parts = urlsplit(next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), ""))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _context(parent: Trace | None) -> Context:
    """Return the library's form of a place in a trace."""
    if parent is None:
        return Context()
    if parent.span is not None:
        return api.set_span_in_context(cast(api.Span, parent.span), Context())
    remote = api.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(int(parent.sampled)),
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )
    return api.set_span_in_context(api.NonRecordingSpan(remote), Context())
