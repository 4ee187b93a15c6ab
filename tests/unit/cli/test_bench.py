"""bench: how fast a policy answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy."""
    file = tmp_path / "policy.rego"
    file.write_text('package demo.fast\n\nuser := input.user\n\nnote if print("asked")\n')
    return file


def test_both_runtimes_are_measured(command: Callable[..., Ran], policy: Path) -> None:
    """As often as was asked for; sizes are those of the texts."""
    ran = command("bench", policy, "--input", '{"user": "kari"}', "--count", "20", "--seconds", "60", "-f", "json")

    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "asked\n")
    assert found["wasm"]["count"] == found["interpreter"]["count"] == 20
    assert 0 < found["wasm"]["median_ns"] <= found["wasm"]["p99_ns"]
    assert found["wasm"]["per_second"] > 0
    assert (found["bytes"]["input"], found["bytes"]["result"]) == (16, len('{"note":true,"user":"kari"}'))


def test_a_module_is_measured_alone(command: Callable[..., Ran], policy: Path, tmp_path: Path) -> None:
    """There is no Rego for the interpreter."""
    home = tmp_path / "rego" / "demo" / "fast" / "1.0"
    home.mkdir(parents=True)
    (home / "policy.rego").write_text(policy.read_text())
    command("compile", tmp_path / "rego", "--output", tmp_path / "compiled")

    ran = command("bench", tmp_path / "compiled" / "demo" / "fast" / "1.0" / "policy.wasm", "--count", "5")

    assert ran.code == 0
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["wasm", "module", "data", "input", "result"]


@pytest.mark.parametrize("limit", [["--count", "0"], ["--seconds", "61"], ["--count", "1000001"]])
def test_it_is_bounded(command: Callable[..., Ran], policy: Path, limit: list[str]) -> None:
    """Nobody measures for ever by mistake."""
    assert command("bench", policy, *limit).code == 2


def test_a_policy_that_fails_is_not_measured(command: Callable[..., Ran], policy: Path) -> None:
    """The error is told."""
    policy.write_text("package demo.clash\n\nx := 1\n\nx := 2 if input.a\n")

    ran = command("bench", policy, "--input", '{"a": 1}', "--count", "5")

    assert (ran.code, ran.out) == (1, "")
    assert "multiple outputs" in ran.err
