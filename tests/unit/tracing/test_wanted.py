"""When traces are recorded, and what is said when they cannot be."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from policy_server.environment import warnings
from policy_server.tracing import wanted as room
from policy_server.tracing.wanted import obstacle, wanted

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
ON = {ENDPOINT: "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENDPOINT: " "},
        {"OTEL_SERVICE_NAME": "policies"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"},
        {**ON, "OTEL_SDK_DISABLED": "True"},
        {**ON, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_there_are_no_traces(environ: Mapping[str, str]) -> None:
    """And nobody is told, because nobody asked."""
    assert (wanted(environ), obstacle(environ)) == (False, None)


@pytest.mark.parametrize(
    "environ",
    [
        ON,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"},
        {**ON, "OTEL_TRACES_EXPORTER": "otlp"},
        {**ON, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {**ON, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    ],
)
def test_a_collector_is_all_it_takes(environ: Mapping[str, str]) -> None:
    """Either variable, and a protocol that is spoken."""
    assert (wanted(environ), obstacle(environ)) == (True, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is http/json"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is zipkin, and only otlp is known"),
    ],
)
def test_what_is_in_the_way_is_a_warning_of_the_start(more: Mapping[str, str], said: str) -> None:
    """The server starts: such variables are often set for a whole cluster."""
    (warning,) = warnings({**ON, **more})

    assert not wanted({**ON, **more})
    assert warning.startswith(f"{ENDPOINT} has no effect: ")
    assert said in warning


@pytest.mark.parametrize("missing", ["opentelemetry.nosuch", "nosuch.sdk"])
def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """With what to do about it."""
    monkeypatch.setattr(room, "_NEEDED", (missing,))

    assert warnings(ON) == [
        f"{ENDPOINT} has no effect: the extra otel is not installed (pip install 'policy-server[otel]')"
    ]


def test_a_server_without_a_collector_does_not_import_the_library() -> None:
    """Everything a worker needs is loaded, and OpenTelemetry is not among it."""
    script = "import sys, policy_server.wsgi; print([name for name in sys.modules if 'opentelemetry' in name])"

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
