"""The command as a developer calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what scripts/conformance runs after set-up."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "opa_suite", "--jobs", "1", *arguments]
    return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)


def test_json_tells_numbers_by_category() -> None:
    """A filter chooses cases by a part of their name."""
    done = ran("--filter", "v1/aggregates/test-aggregates-000", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["categories"]["v1"] == {"aggregates": {"cases": 9, "passed": 9}}
    assert found["unexpected"] == found["mended"] == []


def test_a_table_shows_known_differences_with_their_reason() -> None:
    """The exit code stays 0: they are known."""
    done = ran("--filter", "v0/dataderef/", "--alone")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "dataderef" in done.stdout
    assert "as listed" in done.stdout
    assert "OPA excepts it too" in done.stdout


def test_a_filter_that_fits_no_case_is_a_wrong_call() -> None:
    """Else a slip of the pen would look like success."""
    done = ran("--filter", "no such case")

    assert done.returncode == 2
    assert "no such case" in done.stderr
