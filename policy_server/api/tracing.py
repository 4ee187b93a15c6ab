"""The span of a request, and the trace that its sender says it belongs to."""

from typing import Final

from policy_server.api.request import ApiRequest
from policy_server.tracing import spans, trace
from policy_server.tracing.spans import Kind, answered, known
from policy_server.tracing.trace import here

REQUEST_ID: Final = "policy.request_id"


def begin(req: ApiRequest) -> None:
    """Go on with the trace of the sender, or begin one where this process records them."""
    environ = req.env
    came = trace.read(environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_TRACESTATE"))
    if spans.tracer is None:
        here.set(came)
        return
    method, name = known(req.method)
    about = {"http.request.method": method, "url.scheme": req.scheme, REQUEST_ID: req.request_id}
    req.span = spans.tracer.begin(name, Kind.SERVER, about, came)
    here.set(req.span.trace)


def end(req: ApiRequest, route: str | None, status: int) -> None:
    """End the span of a request; ``route`` is the template of its address, never the address."""
    span = req.span
    if span is not None:
        if route is not None:
            span.rename(f"{known(req.method)[1]} {route}")
            span.set("http.route", route)
        answered(span, status, bad=500)
        span.end()
    here.set(None)
