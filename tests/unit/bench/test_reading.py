"""What peers and the load generator print."""

import pytest
from benchmarks import load, native
from benchmarks.rounds import Unmeasured


def test_opa_bench_gives_its_mean_and_its_own_timer() -> None:
    """Nanoseconds of a whole run become microseconds of one evaluation."""
    extra = {"histogram_timer_rego_query_eval_ns_median": 8_000, "histogram_timer_rego_query_eval_ns_99%": 90_000}

    found = native.figures({"N": 1000, "T": 20_000_000, "Extra": extra})

    assert found == {"mean": 20.0, "median": 8.0, "p99": 90.0}


@pytest.mark.parametrize("document", [{}, {"N": 0, "T": 5, "Extra": {}}, {"N": 5, "T": "x", "Extra": {}}])
def test_opa_bench_without_figures_is_not_measured(document: dict[str, object]) -> None:
    """A changed format is noticed, not read as zero."""
    with pytest.raises(Unmeasured):
        native.figures(document)


def test_wrk_gives_rate_latency_and_failed_requests() -> None:
    """Answers that are errors and connections that broke both count as failed."""
    line = '{"requests": 5000, "seconds": 2.5, "p50": 1500, "p99": 9000, "refused": 2, "broken": 1}'

    found = load.figures(f"Running 2s test\n\nRESULT {line}\n")

    assert found == {"rate": 2000.0, "p50": 1.5, "p99": 9.0, "requests": 5000, "failed": 3}


@pytest.mark.parametrize(
    "output",
    ["unable to connect", 'RESULT {"requests": 0, "seconds": 2, "p50": 0, "p99": 0, "refused": 0, "broken": 0}'],
)
def test_wrk_without_answers_is_not_measured(output: str) -> None:
    """A server that is down has no latency."""
    with pytest.raises(Unmeasured):
        load.figures(output)
