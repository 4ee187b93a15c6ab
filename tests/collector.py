"""An OTLP collector on loopback, which reads what exporters send, or keeps them waiting."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATIENCE = 60.0
INTERNAL, SERVER, CLIENT = 1, 2, 3


@dataclass(frozen=True)
class Got:
    """A span as it arrived; ids in hex, ``parent`` "" for the first of a trace, ``seconds`` how long it took."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    state: str
    attributes: Mapping[str, object]
    failed: bool
    seconds: float
    resource: Mapping[str, object]


class Collector:
    """Listens from its making to ``close``; ``hanging`` keeps every request waiting until then."""

    def __init__(self, *, hanging: bool = False) -> None:
        self.spans: list[Got] = []
        self.headers: list[Mapping[str, str]] = []
        self.raw: list[bytes] = []
        self._released = threading.Event()
        if not hanging:
            self._released.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, dict(self.headers), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Read one request."""
        assert path == "/v1/traces"
        self.headers.append(headers)
        self._released.wait(PATIENCE)
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = _attributes(resource.resource.attributes)
            self.spans += [_got(each, about) for scope in resource.scope_spans for each in scope.spans]

    def wait(self, what: Callable[[Got], bool]) -> Got:
        """Return the first span that is meant, when it has come."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = next((each for each in tuple(self.spans) if what(each)), None)
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"it did not come; there were {[each.name for each in self.spans]}")

    def named(self, name: str) -> Got:
        """Return the first span of a name, when it has come."""
        return self.wait(lambda each: each.name == name)

    def below(self, parent: Got) -> list[str]:
        """Return the names of the spans right below one, ordered."""
        return sorted(each.name for each in self.spans if each.parent == parent.id)

    def close(self) -> None:
        """Answer everybody and listen no more."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()


def _got(span, resource: Mapping[str, object]) -> Got:  # generated types have no annotations
    return Got(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        _attributes(span.attributes),
        span.status.code == 2,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        resource,
    )


def _attributes(pairs: "list[KeyValue]") -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}
