"""Traces of a real server: what the collector gets, and that nobody waits for it."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from acceptance_server import Server, free_port, wait_until
from collector import INTERNAL, SERVER, Collector

from policy_server.api.middleware import QUIET

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CAME = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
ALIAS = {"local_alias": "my-vmr-kari", "protocol": "sip"}
CONFIGURATION = "GET /policy/v1/service/configuration"
EVALUATION = "POST /policy/{repository}/{group}/{policy}/{version}/evaluation"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
AT_THE_END = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


@pytest.fixture
def collectors() -> Iterator[Callable[..., Collector]]:
    """Make collectors; they are closed afterwards."""
    made: list[Collector] = []

    def make(*, hanging: bool = False) -> Collector:
        made.append(Collector(hanging=hanging))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def start(new_server: Callable[..., Server]) -> Callable[..., Server]:
    """Return what starts a server with a collector and further variables."""

    def start(endpoint: str, more: dict[str, str]) -> Server:
        server = new_server()
        server.settings = {**server.settings, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **more}
        server.start()
        return server

    return start


def ask(server: Server, **headers: str) -> requests.Response:
    """Ask as a Pexip node does."""
    return requests.get(f"{server.url}/policy/v1/service/configuration", ALIAS, headers=headers, timeout=10)


def stopped(server: Server) -> float:
    """Stop it as an orchestrator does; return the seconds that took."""
    began = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0, server.log()
    return time.monotonic() - began


def test_the_collector_gets_the_tree_of_each_request(
    collectors: Callable[..., Collector], start: Callable[..., Server]
) -> None:
    """Pexip's and others', with their evaluations, by the end at the latest; of probes it hears nothing."""
    collector = collectors()
    server = start(collector.url, AT_THE_END)
    workers = server.workers()
    pexip = ask(server, **CAME)
    address = f"{server.url}/policy/bundled/pexip/service/1.0/evaluation"
    evaluated = requests.post(address, json={"local": {"user": "my-vmr-kari"}}, timeout=10)
    for path in QUIET:
        requests.get(f"{server.url}{path}", headers=CAME, timeout=10)
    assert collector.spans == []

    stopped(server)

    outer, other = collector.named(CONFIGURATION), collector.named(EVALUATION)
    assert (outer.kind, outer.trace, outer.parent) == (SERVER, TRACE, SPAN)
    assert outer.attributes["http.response.status_code"] == 200
    assert outer.attributes["policy.request_id"] == pexip.headers["x-request-id"]
    assert (collector.below(outer), collector.below(other)) == (["policy.evaluate"], ["policy.evaluate"])
    inner = collector.wait(lambda each: each.parent == outer.id)
    assert (inner.kind, inner.trace) == (INTERNAL, TRACE)
    assert inner.attributes == {
        "policy.id": "bundled/pexip/service/1.0",
        "policy.revision": 1,
        "policy.entrypoint": "pexip/service/decision",
        "policy.decision_id": pexip.json()["decision_id"],
    }
    assert 0 < inner.seconds <= outer.seconds
    assert (other.parent, other.trace != TRACE, evaluated.status_code) == ("", True, 200)
    assert {each.name for each in collector.spans if each.kind == SERVER} == {CONFIGURATION, EVALUATION}
    assert {each.resource["process.pid"] for each in collector.spans} <= set(workers)
    assert not any(secret in raw for raw in collector.raw for secret in (b"my-vmr", b"2931", b"local_alias"))


def test_every_worker_sends_its_own_and_lines_have_the_trace(
    collectors: Callable[..., Collector], start: Callable[..., Server]
) -> None:
    """They were forked before anything was recorded."""
    collector = collectors()
    server = start(collector.url, SOON)

    def seen() -> set[object]:
        ask(server)
        return {each.resource["process.pid"] for each in collector.spans if each.name == CONFIGURATION}

    wait_until(lambda: seen() == set(server.workers()), "spans of both workers")
    ask(server, **CAME)

    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    (line,) = (each for each in lines if each.get("trace_id") == TRACE)
    assert line["event"] == "request"
    assert collector.wait(lambda each: each.trace == TRACE and each.kind == SERVER).id == line["span_id"]
    stopped(server)


def test_a_collector_that_hangs_delays_neither_calls_nor_the_end(
    collectors: Callable[..., Collector], start: Callable[..., Server]
) -> None:
    """Every call is answered at once; a stop waits three seconds for it and no longer."""
    collector = collectors(hanging=True)
    server = start(collector.url, SOON | {"OTEL_BSP_MAX_QUEUE_SIZE": "512"})
    ask(server)
    wait_until(lambda: collector.headers != [], "the exporter waits for the collector")

    answers = [ask(server) for _ in range(600)]

    assert {each.status_code for each in answers} == {200}
    assert sorted(each.elapsed.total_seconds() for each in answers)[-6] < 0.5
    assert stopped(server) < 12
    assert collector.spans == []


def test_a_collector_that_is_away_is_told_and_costs_nothing(start: Callable[..., Server]) -> None:
    """One line a minute and worker; calls are answered, the server stops."""
    server = start(f"http://127.0.0.1:{free_port()}", SOON | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"})

    for _ in range(20):
        assert ask(server).status_code == 200
    wait_until(lambda: "Failed to export spans batch" in server.log(), "the failure is told")
    for _ in range(20):
        assert ask(server).status_code == 200

    stopped(server)
    assert 1 <= server.log().count("Failed to export spans batch") <= 2


def test_a_server_without_the_extra_says_so_and_answers(start: Callable[..., Server], tmp_path: Path) -> None:
    """With what to install; the variable may be there for others."""
    (tmp_path / "sitecustomize.py").write_text("import sys\n\nsys.modules['opentelemetry'] = None\n")

    server = start("http://127.0.0.1:9", {"PYTHONPATH": str(tmp_path)})

    assert ask(server).status_code == 200
    assert "the extra otel is not installed (pip install 'policy-server[otel]')" in server.log()
    stopped(server)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "warning: OTEL_EXPORTER_OTLP_ENDPOINT has no effect"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "there are no traces: "),
    ],
)
def test_what_cannot_be_done_about_traces_stops_no_server(
    start: Callable[..., Server], variable: str, value: str, said: str
) -> None:
    """It is told, and calls are answered without."""
    server = start("http://127.0.0.1:9", {variable: value})

    assert ask(server).status_code == 200
    assert said in server.log()
    stopped(server)
