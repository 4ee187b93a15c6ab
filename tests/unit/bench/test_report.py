"""The table and the JSON of a report."""

import json

import pytest
from benchmarks.report import Report, number, to_json, to_table
from benchmarks.stats import Better, Comparison, Missing, Series

REPORT = Report(
    "engine",
    (
        Comparison(
            "one evaluation",
            "µs",
            Better.LESS,
            Series("ours-bytes", (10.0, 12.0)),
            (Series("opa bench", (20.0, 36.0)), Missing("opa-wasmtime", "it could not be installed")),
            (Series("our share", (0.25, 0.2)),),
            aim="at most 15 µs",
        ),
    ),
    notes=("measured in turns",),
    facts=(("resident MiB", 40.5),),
)


def test_the_table_shows_figures_ratios_and_what_is_missing() -> None:
    """Everything one must know to believe a ratio stands beside it."""
    text = to_table(REPORT)

    assert "11.0 (10.0–12.0)" in text
    assert "ours is 2.50 (2.00–3.00) × as good" in text
    assert "not measured: it could not be installed" in text
    assert "aim: at most 15 µs" in text
    assert "resident MiB  40.5" in text
    assert text.endswith("note: measured in turns")


def test_the_json_holds_every_value_and_the_ratio_of_pairs() -> None:
    """Programs get the rounds, not only their median."""
    document = json.loads(to_json(REPORT, rounds=2, quick=False, before={"load": [0.1]}, after={"load": [0.9]}))

    (comparison,) = document["comparisons"]
    assert comparison["ours"] == {
        "name": "ours-bytes",
        "median": 11.0,
        "min": 10.0,
        "max": 12.0,
        "values": [10.0, 12.0],
    }
    assert comparison["peers"][0]["ratio"] == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert comparison["peers"][1] == {"name": "opa-wasmtime", "not_measured": "it could not be installed"}
    assert comparison["derived"][0]["median"] == pytest.approx(0.225)
    assert document["facts"] == {"resident MiB": 40.5}
    assert document["machine"]["after"] == {"load": [0.9]}


def test_a_missing_figure_of_ours_leaves_the_peers_without_ratio() -> None:
    """There is nothing to compare with, and the report says so instead of failing."""
    report = Report(
        "http", (Comparison("rate", "1/s", Better.MORE, Missing("ours", "no server"), (Series("opa", (5.0,)),)),)
    )

    document = json.loads(to_json(report, rounds=1, quick=True, before={}, after={}))

    assert "ratio" not in document["comparisons"][0]["peers"][0]
    assert "not measured: no server" in to_table(report)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (7, "7")],
)
def test_numbers_keep_three_figures(value: float, expected: str) -> None:
    """More figures than that are noise."""
    assert number(value) == expected
