"""What happens around every request: id, counts, one log line, safe headers."""

import logging
import time
from functools import partial
from typing import Final

import falcon

from policy_server.api.caller import caller_of
from policy_server.api.metrics import Metrics
from policy_server.api.request import ApiRequest, RequestIds
from policy_server.api.tracing import begin, end
from policy_server.audit.caller import work_for
from policy_server.auth.gate import Gate
from policy_server.auth.tokens import PREFIX
from policy_server.tracing import spans
from policy_server.tracing.trace import fields, here

log = logging.getLogger("policy_server.access")

QUIET: Final = frozenset({"/livez", "/readyz", "/liveness", "/readiness", "/health", "/metrics"})
"""Addresses that probes ask all the time: neither logged nor traced."""

UNMATCHED: Final = "unmatched"
OTHER: Final = "other"
METHODS: Final = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
"""Methods counted by name; callers can make up others."""


class Telemetry:
    """Names, times, counts and logs requests.

    SECURITY: the log line has neither the query nor, for Pexip, the path: both
    can carry aliases, passcodes and the secret some put into the prefix. Nor has
    it a path with a token, which somebody may take for the token's id.
    """

    def __init__(self, metrics: Metrics, gate: Gate) -> None:
        """Take the counters, and who knows the address behind proxies."""
        self._metrics = metrics
        self._gate = gate
        self._ids = RequestIds()

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Give the request its id."""
        req.request_id = self._ids.take(req.env.get("HTTP_X_REQUEST_ID"))
        resp.set_header("x-request-id", req.request_id)
        resp.set_header("x-content-type-options", "nosniff")
        if (spans.tracer is not None or "HTTP_TRACEPARENT" in req.env) and req.path not in QUIET:
            begin(req)
        # Also of a GET: a validation may lock.
        work_for(partial(caller_of, self._gate, req))

    def process_response(
        self,
        req: ApiRequest,
        resp: falcon.Response,
        _resource: object,
        _succeeded: bool,
        /,
    ) -> None:
        """Count and log what was answered."""
        work_for(None)
        seconds = (time.perf_counter_ns() - req.started_ns) / 1e9
        handler, status = req.uri_template or UNMATCHED, resp.status_code
        self._metrics.request(handler, req.method if req.method in METHODS else OTHER, status, seconds)
        if handler not in QUIET and log.isEnabledFor(logging.INFO):
            log.info(
                "request",
                extra={
                    "action": "request",
                    "request_id": req.request_id,
                    "method": req.method,
                    "path": handler if "/policy/v1/" in req.path or PREFIX in req.path else req.path,
                    "status": status,
                    "duration_ms": round(seconds * 1000, 3),
                    **fields(),
                },
            )
        if here.get() is not None:
            end(req, req.uri_template, status)
