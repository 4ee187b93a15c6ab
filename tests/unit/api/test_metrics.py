"""Counting, in one process and in several."""

import os
import subprocess
import sys
from pathlib import Path

from policy_server.api.metrics import Metrics
from policy_server.model.policy import PolicyId
from policy_server.pexip.answers import Observation, Outcome
from policy_server.pexip.checks import Violation
from policy_server.pexip.kinds import RequestKind

COUNT = """
from policy_server.api.metrics import Metrics
metrics = Metrics()
metrics.request("/livez", "GET", 200, 0.01)
metrics.decision("service", "answered", "policy", 0.01)
print(metrics.render().decode())
"""


def test_all_processes_are_counted_together(tmp_path: Path) -> None:
    """Workers that share a directory show the same sums, whichever of them is asked."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    shown = [
        subprocess.run([sys.executable, "-c", COUNT], env=environ, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]

    line = 'policy_http_requests_total{code="200",handler="/livez",method="GET"}'
    assert f"{line} 1.0" in shown[0]
    assert f"{line} 2.0" in shown[1]


def test_fallbacks_and_violations_are_counted_by_reason() -> None:
    """An operator sees which kind of request falls back, why, and what Pexip would have refused."""
    metrics = Metrics()
    violation = Violation("P01", "result.name", "missing")
    policy = PolicyId("r", "pexip", "service", "1.0")

    metrics.pexip(
        Observation(
            RequestKind.SERVICE, "a", policy, "d", Outcome.FALLBACK, 404, "output-invalid", violations=(violation,)
        )
    )

    text = metrics.render().decode()
    assert 'policy_decisions_total{endpoint="service",outcome="fallback",source="fallback"} 1.0' in text
    assert 'policy_decision_fallbacks_total{endpoint="service",reason="output-invalid"} 1.0' in text
    assert 'policy_response_guard_violations_total{check="P01",endpoint="service"} 1.0' in text
