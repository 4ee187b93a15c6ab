"""The trace of a request, from its sender through policies to the operator's services; and its log lines."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from neighbours_server import Neighbours
from span_recorder import Recorded, Recorder, recording
from wsgi_client import Answer, Client

from policy_server.api.middleware import QUIET
from policy_server.assembly import Assembly, assemble
from policy_server.logs import configure_logging
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.settings import load_settings
from policy_server.tracing.spans import Kind
from policy_server.tracing.trace import here

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CAME = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
REGO = """package t.asking

found := {
	"kept": storage.get(input.key),
	"did": did.resolve(input.did),
	"sent": http.send({"method": "GET", "url": input.url, "raise_error": false}).status_code,
}
"""
FAILING = """package t.failing

x := storage.get(input.key)

y := 1

y := input.n
"""


@dataclass
class Program:
    """The program in process, with policies in it."""

    assembly: Assembly
    client: Client

    def ask(self, name: str, rego: str, document: object, **headers: str) -> Answer:
        """Publish a policy and ask it."""
        source = PolicySource(PolicyId("test", "t", name, "1.0"), rego)
        self.assembly.publisher.publish(source, author="test")
        self.assembly.catalog.sync()
        body = json.dumps(document).encode()
        return self.client.post(f"/policy/test/t/{name}/1.0/evaluation?who=geheim", body, headers=headers)


@pytest.fixture
def neighbour() -> Iterator[Neighbours]:
    """A service of the operator."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def stranger() -> Iterator[Neighbours]:
    """Somebody whom policies may ask."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Spans are recorded."""
    with recording(monkeypatch) as found:
        yield found


@pytest.fixture
def make(tmp_path: Path, neighbour: Neighbours) -> Iterator[Callable[[], Program]]:
    """Return what assembles the program; recording begins before, as in a worker."""
    made: list[Assembly] = []

    def make() -> Program:
        environ = {
            "HOME": str(tmp_path),
            "POLICY_CACHE_DIR": str(load_settings().cache_dir),
            "POLICY_STORAGE_URL": "memory:",
            "POLICY_DID_RESOLVER_URL": neighbour.url,
            "POLICY_HTTP_SEND_HOSTS": "127.0.0.1",
            "POLICY_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        made.append(assemble(load_settings(environ=environ)))
        made[-1].bundled.seed()
        made[-1].store.values.set("PIN1234", {"by": "ada"})
        made[-1].catalog.sync()
        return Program(made[-1], Client(made[-1].app()))

    yield make
    for each in made:
        each.close()


@pytest.fixture
def lines(restored: None) -> Callable[[], list[dict[str, object]]]:
    """Log as a server does; the function returns what was logged."""
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def question(stranger: Neighbours) -> dict[str, str]:
    """Return an input that makes the policy ask everybody."""
    return {"key": "PIN1234", "did": "did:key:x1234", "url": f"{stranger.url}/x?pin=1234"}


def tree(recorder: Recorder, span: Recorded) -> dict[str, object]:
    """Return the names below a span, and what is below those."""
    below = [each for each in recorder.spans if each.parent is not None and each.parent == span.trace]
    return {each.name: tree(recorder, each) for each in below}


def test_a_request_is_a_tree_of_spans(recorder: Recorder, make, stranger: Neighbours) -> None:
    """Request, evaluation, functions that wait, requests of those; the trace of the sender goes on."""
    answer = make().ask("asking", REGO, question(stranger), **CAME)

    server = recorder.named("POST /policy/{repository}/{group}/{policy}/{version}/evaluation")
    assert answer.status == 200
    assert (server.kind, server.parent.trace_id, server.parent.span_id) == (Kind.SERVER, TRACE, SPAN)
    assert tree(recorder, server) == {
        "policy.evaluate": {"storage.get": {}, "did.resolve": {"GET": {}}, "http.send": {"GET": {}}}
    }
    assert all(each.ended and each.trace.trace_id == TRACE for each in recorder.spans if each.parent is not None)
    assert server.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "policy.request_id": answer.headers["x-request-id"],
        "http.route": "/policy/{repository}/{group}/{policy}/{version}/evaluation",
        "http.response.status_code": 200,
    }
    assert recorder.named("policy.evaluate").attributes == {
        "policy.id": "test/t/asking/1.0",
        "policy.revision": 1,
        "policy.entrypoint": "t/asking",
        "policy.decision_id": answer.headers["etag"],
    }


def test_the_operators_services_are_told_of_the_trace_and_strangers_are_not(
    recorder: Recorder, make, neighbour: Neighbours, stranger: Neighbours
) -> None:
    """A neighbour's work belongs to the span of the request to it; whom a policy asks learns nothing."""
    make().ask("asking", REGO, question(stranger), **CAME)

    (resolved,) = neighbour.requests
    (sent,) = stranger.requests
    asked = [each for each in recorder.spans if each.kind is Kind.CLIENT]
    parents = {each.attributes["server.port"]: each.trace.span_id for each in asked}
    port = int(neighbour.url.rpartition(":")[2])
    assert resolved.headers["traceparent"] == f"00-{TRACE}-{parents[port]}-01"
    assert resolved.headers["tracestate"] == "vendor=1"
    assert (sent.headers["traceparent"], sent.headers["tracestate"]) == (None, None)


def test_nothing_that_was_said_is_in_a_span(recorder: Recorder, make, stranger: Neighbours) -> None:
    """Neither input nor query, path, answer or message of an error."""
    program = make()
    program.ask("asking", REGO, question(stranger), authorization="Bearer geheim")
    program.client.get("/policy/v1/service/configuration?local_alias=kari1234&pin=geheim")
    program.client.get("/geheim/policy/v1/participant/avatar/kari1234")
    program.client.get("/nosuch1234")
    stranger.fail(500, "geheim")
    program.ask("asking", REGO, {**question(stranger), "key": "geheim"})

    facts = [each.attributes for each in recorder.spans]
    assert len(facts) > 15
    assert "1234" not in str(facts)
    assert "geheim" not in str(facts)
    assert not any("1234" in each.name or "geheim" in each.name for each in recorder.spans)


def test_what_fails_is_marked(recorder: Recorder, make, neighbour: Neighbours, stranger: Neighbours) -> None:
    """A conflict of rules is the failure of the evaluation, a missing value that of its function."""
    answer = make().ask("failing", FAILING, {"key": "nosuch", "n": 2})

    server = recorder.named("POST /policy/{repository}/{group}/{policy}/{version}/evaluation")
    assert (server.failure, server.attributes["http.response.status_code"]) == (
        str(answer.status) if answer.status >= 500 else None,
        answer.status,
    )
    evaluated = recorder.named("policy.evaluate")
    assert evaluated.failure is not None
    assert evaluated.attributes["policy.decision_id"]


def test_a_pexip_request_is_named_without_its_prefix(recorder: Recorder, make) -> None:
    """Its evaluation has the decision id that Pexip is told."""
    answer = make().client.get("/some/prefix/policy/v1/service/configuration?local_alias=my-vmr-kari&protocol=sip")

    server = recorder.named("GET /policy/v1/service/configuration")
    evaluated = recorder.named("policy.evaluate")
    assert recorder.children(server) == ["policy.evaluate"]
    assert evaluated.attributes["policy.decision_id"] == answer.json["decision_id"]
    assert evaluated.attributes["policy.entrypoint"] == "pexip/service/decision"


def test_probes_are_never_traced(recorder: Recorder, make) -> None:
    """Not even when they say that they belong to a trace."""
    client = make().client

    for path in QUIET:
        for method in ("GET", "HEAD", "POST"):
            client.ask(method, path, headers=CAME)

    assert [each.name for each in recorder.spans if each.kind is Kind.SERVER] == []


def test_made_up_methods_are_one_method(recorder: Recorder, make) -> None:
    """Callers cannot fill the collector with names; an address nobody has is no route."""
    make().client.ask("BREW", "/pot")

    server = recorder.named("HTTP")
    assert server.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in server.attributes


def test_every_line_of_a_traced_request_has_the_trace(recorder: Recorder, make, lines) -> None:
    """The request's own line has its span, lines of its parts have theirs."""
    rego = 'package t.printing\n\nx if print("hello")\n'

    make().ask("printing", rego, {}, **CAME)

    found = {str(line["event"]): (line.get("trace_id"), line.get("span_id")) for line in lines()}
    server = recorder.named("POST /policy/{repository}/{group}/{policy}/{version}/evaluation")
    assert found["request"] == (TRACE, server.trace.span_id)
    assert found["policy printed: hello"] == (TRACE, recorder.named("policy.evaluate").trace.span_id)


def test_a_trace_that_came_in_is_logged_and_handed_on_without_recording(
    make, lines, neighbour: Neighbours, stranger: Neighbours
) -> None:
    """The services' lines can be joined although this server records nothing."""
    make().ask("asking", REGO, question(stranger), **CAME)

    (request,) = (line for line in lines() if line["event"] == "request")
    assert (request["trace_id"], "span_id" in request) == (TRACE, False)
    assert [each.headers["traceparent"] for each in neighbour.requests] == [CAME["traceparent"]]
    assert [each.headers["traceparent"] for each in stranger.requests] == [None]
    assert here.get() is None


def test_without_a_trace_nothing_is_said_of_one(make, lines, neighbour: Neighbours, stranger: Neighbours) -> None:
    """Neither after a request that had one, nor for a header that cannot be read."""
    program = make()
    program.client.get("/v1/policies", headers=CAME)

    program.ask("asking", REGO, question(stranger))
    program.client.get("/v1/policies", headers={"traceparent": "00-x"})

    said = [line for line in lines() if line["event"] == "request"]
    assert ["trace_id" in line for line in said] == [True, False, False]
    assert [each.headers["traceparent"] for each in neighbour.requests] == [None]
