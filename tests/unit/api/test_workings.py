"""What goes on behind the answers is counted, and what watches it names only what is counted."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from policy_server.api.metrics import Metrics
from policy_server.api.workings import OTHER, SOURCES

ROOT = Path(__file__).parents[3]
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
METRIC = re.compile(r"\bpolicy_[a-z_]+\b")


def shown(metrics: Metrics) -> dict[str, float]:
    """Return every sample by its name and labels."""
    lines = (line for line in metrics.render().decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def known() -> dict[str, str]:
    """Return every metric there is, with its type."""
    metrics = Metrics()
    metrics.waiting(0)
    metrics.workings.compiled(1, None)
    metrics.workings.engine(1, 1, 1)
    metrics.workings.condition(degraded=False, acting=True)
    found = re.findall(r"(?m)^# TYPE (\w+) (\w+)$", metrics.render().decode())
    return {name: kind for name, kind in found if not name.endswith("_created")}


def samples() -> set[str]:
    """Return the names that expressions may use."""
    found = set()
    for name, kind in known().items():
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


def alerts() -> list[dict[str, object]]:
    """Return the rules of docs/alerts.yml."""
    groups = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, object]]:
    """Return the panels of the dashboard that ask for something."""
    dashboard = json.loads((ROOT / "docs" / "grafana" / "policy-server.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return every expression of the rules and the dashboard."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [str(rule["expr"]) for rule in alerts()] + asked


def test_compilations_are_timed_and_failures_counted_by_reason() -> None:
    """Also when the first ones come at the same time."""
    metrics = Metrics()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: metrics.workings.compiled(0.2, None), range(50)))
    metrics.workings.compiled(0.2, "compile-error")

    found = shown(metrics)
    assert found["policy_compile_duration_seconds_count"] == 51
    assert found['policy_compile_failures_total{reason="compile-error"}'] == 1


def test_fetches_are_counted_by_source() -> None:
    """And when the last good one was."""
    metrics = Metrics()

    metrics.workings.refreshed("a/b/c/1.0", ok=True, at=AT)
    metrics.workings.refreshed("a/b/c/1.0", ok=False, at=AT)

    found = shown(metrics)
    assert found['policy_data_source_refreshes_total{result="success",source="a/b/c/1.0"}'] == 1
    assert found['policy_data_source_refreshes_total{result="failure",source="a/b/c/1.0"}'] == 1
    assert found['policy_data_source_last_success_timestamp_seconds{source="a/b/c/1.0"}'] == AT.timestamp()


def test_only_so_many_sources_have_a_name() -> None:
    """Whoever may write policies cannot fill the files of the metrics."""
    metrics = Metrics()

    for number in range(SOURCES + 50):
        metrics.workings.refreshed(f"a/b/p{number}/1.0", ok=True, at=AT)
    metrics.workings.refreshed("a/b/p0/1.0", ok=True, at=AT)

    found = shown(metrics)
    assert found[f'policy_data_source_refreshes_total{{result="success",source="{OTHER}"}}'] == 50
    assert found['policy_data_source_refreshes_total{result="success",source="a/b/p0/1.0"}'] == 2
    assert len([name for name in found if name.startswith("policy_data_source_last")]) == SOURCES


def test_what_is_loaded_and_how_it_goes_is_shown() -> None:
    """As it was last noted."""
    metrics = Metrics()

    metrics.workings.engine(1, 1, 1)
    metrics.workings.engine(6, 12, 40_000_000)
    metrics.workings.condition(degraded=True, acting=False)

    found = shown(metrics)
    assert found["policy_engine_policies"] == 6
    assert found["policy_engine_instances"] == 12
    assert found["policy_engine_memory_bytes"] == 40_000_000
    assert (found["policy_degraded_workers"], found["policy_acting_workers"]) == (1, 0)


@pytest.mark.parametrize("expression", expressions())
def test_what_watches_names_metrics_that_exist(expression: str) -> None:
    """Rules and dashboard; a typing error would never fire."""
    used = {name for name in METRIC.findall(expression) if name != "policy_server"}

    assert used - samples() == set()
    assert used or expression.startswith("up{")
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_described_and_watched() -> None:
    """docs/http.md lists them all, and the dashboard shows each."""
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    asked = {name for panel in panels() for target in panel["targets"] for name in METRIC.findall(target["expr"])}
    watched = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}

    assert [name for name in known() if f"`{name}" not in page] == []
    assert set(known()) - watched == set()


def test_rules_say_what_they_mean() -> None:
    """Each has a name of its own, a severity and a sentence."""
    names = [rule["alert"] for rule in alerts()]

    assert len(names) == len(set(names)) > 10
    assert {rule["labels"]["severity"] for rule in alerts()} == {"critical", "warning", "info"}
    assert all(str(rule["annotations"]["summary"]).endswith(".") for rule in alerts())
