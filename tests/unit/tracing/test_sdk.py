"""OpenTelemetry behind our spans: the real exporter and a real collector."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest
from collector import CLIENT, INTERNAL, Collector

from policy_server.tracing import sdk, spans
from policy_server.tracing.sdk import Seldom, start
from policy_server.tracing.spans import Kind, span
from policy_server.tracing.trace import Trace, here, read

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Callable[[], None]]]:
    """Return what starts recording for a collector, with further variables; it is stopped afterwards."""
    stops: list[Callable[[], None]] = []

    def begin(collector: Collector, **variables: str) -> Callable[[], None]:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        for name, value in variables.items():
            monkeypatch.setenv(f"OTEL_{name}", value)
        stops.append(start())
        return stops[-1]

    yield begin
    for stop in stops:
        stop()
    assert spans.tracer is None


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that answers."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def deaf() -> Iterator[Collector]:
    """A collector that takes connections and never answers."""
    collector = Collector(hanging=True)
    yield collector
    collector.close()


def work(parent: Trace | None = None) -> None:
    """Do something with a part that fails."""
    before = here.set(parent)
    try:
        with span("outer", {"text": "x", "number": 3, "yes": True}), span("inner", kind=Kind.CLIENT) as inner:
            inner.fail("unreachable")
    finally:
        here.reset(before)


def test_the_end_sends_what_is_left(begin, collector: Collector) -> None:
    """Names, kinds, attributes, failures, and who belongs to whom; nothing was due before."""
    stop = begin(collector)
    work()

    stop()

    inner, outer = collector.named("inner"), collector.named("outer")
    assert (outer.kind, outer.parent, outer.failed) == (INTERNAL, "", False)
    assert outer.attributes == {"text": "x", "number": 3, "yes": True}
    assert (inner.kind, inner.parent, inner.trace) == (CLIENT, outer.id, outer.trace)
    assert (inner.failed, inner.attributes) == (True, {"error.type": "unreachable"})


def test_a_trace_of_somebody_else_goes_on(begin, collector: Collector) -> None:
    """With its id and its state."""
    stop = begin(collector)
    work(read(f"00-{TRACE}-{SPAN}-01", "vendor=1"))

    stop()

    outer = collector.named("outer")
    assert (outer.trace, outer.parent, outer.state) == (TRACE, SPAN, "vendor=1")
    assert collector.named("inner").trace == TRACE


def test_what_its_sender_does_not_record_is_not_recorded(begin, collector: Collector) -> None:
    """The library's default sampler; the ids go on all the same."""
    stop = begin(collector)
    work(read(f"00-{TRACE}-{SPAN}-00"))
    work()

    stop()

    assert {each.parent for each in collector.spans if each.name == "outer"} == {""}


def test_the_variables_of_the_library_count(begin, collector: Collector) -> None:
    """Name, attributes, headers and sampler."""
    stop = begin(
        collector,
        SERVICE_NAME="doors",
        RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.version=9",
        EXPORTER_OTLP_HEADERS="x-key=k1",
    )
    work()

    stop()

    resource = collector.named("outer").resource
    assert (resource["service.name"], resource["service.version"]) == ("doors", "9")
    assert resource["deployment.environment.name"] == "test"
    assert collector.headers[0]["x-key"] == "k1"


def test_a_sampler_of_nothing_sends_nothing(begin, collector: Collector) -> None:
    """And spans are counted in a name of ours otherwise."""
    stop = begin(collector, TRACES_SAMPLER="always_off")
    work()

    stop()

    assert collector.headers == []


def test_without_a_name_it_is_the_name_of_the_product(begin, collector: Collector) -> None:
    """Not the library's unknown_service."""
    stop = begin(collector)
    work()

    stop()

    assert collector.named("outer").resource["service.name"] == "policy-server"


def test_a_collector_that_hangs_delays_nobody(begin, deaf: Collector, monkeypatch, caplog) -> None:
    """Ten thousand spans are made while nothing goes out; the end waits as long as it said, and then says so."""
    monkeypatch.setattr(sdk, "FLUSH", 0.3)
    stop = begin(deaf, BSP_SCHEDULE_DELAY="50", BSP_MAX_QUEUE_SIZE="600", EXPORTER_OTLP_TIMEOUT="30")
    work()
    while not deaf.headers:  # the exporter is stuck now
        time.sleep(0.01)

    began = time.monotonic()
    for _ in range(5000):
        work()
    made = time.monotonic() - began
    with caplog.at_level(logging.WARNING, logger=sdk.__name__):
        stop()
    ended = time.monotonic() - began - made

    assert made < 5
    assert 0.2 < ended < 3
    assert "the last spans were not sent within 0.3 s" in caplog.text
    assert deaf.spans == []


def test_where_spans_go_is_told_without_the_password(begin, collector: Collector, monkeypatch, caplog) -> None:
    """An endpoint may hold one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:geheim@127.0.0.1:1/v1/traces?token=geheim")

    with caplog.at_level(logging.INFO, logger=sdk.__name__):
        begin(collector)

    assert "traces are sent to http://127.0.0.1:1" in caplog.text
    assert "geheim" not in caplog.text


def test_a_collector_that_is_away_is_told_once_a_minute() -> None:
    """Every batch would have its line otherwise."""
    times = iter((100.0, 101.0, 159.0, 160.0, 161.0))
    seldom = Seldom(lambda: next(times))
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "away", None, None)

    assert [seldom.filter(record) for _ in range(5)] == [True, False, False, True, False]
