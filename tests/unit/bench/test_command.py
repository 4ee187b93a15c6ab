"""The command as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_bench_without_any_peer_prints_our_figures_and_the_reasons(tmp_path: Path) -> None:
    """The smallest run, as JSON, on a machine where no peer is to be had."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", "PATH": str(tmp_path)}
    environment["BENCH_CACHE"] = str(tmp_path / "cache")
    command = [sys.executable, "-m", "benchmarks", "rules", "--quick", "--json", "--rounds", "1"]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    (first, *_) = json.loads(done.stdout)["comparisons"]
    assert first["ours"]["median"] > 0
    assert "there is no opa" in first["peers"][0]["not_measured"]
