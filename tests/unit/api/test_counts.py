"""A full disk takes the counts of a worker, and not the worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from policy_server.api import counts

EVERYTHING = """
import os
from datetime import UTC, datetime
from pathlib import Path
from policy_server.api import counts

directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
counts.reserve(directory, os.getpid())

from policy_server.api.metrics import Metrics
from policy_server.api.middleware import METHODS, OTHER, UNMATCHED
from policy_server.api.routes import ROUTES
from policy_server.pexip.kinds import RequestKind

CODES = (200, 304, 400, 401, 403, 404, 408, 409, 413, 422, 500, 503)
metrics = Metrics()
for handler in {route.path for route in ROUTES} | {UNMATCHED}:
    for method in METHODS | {OTHER}:
        metrics.request(handler, method, 405, 0.1)
    for method, code in ((method, code) for method in ("GET", "POST") for code in CODES):
        metrics.request(handler, method, code, 0.1)
for endpoint in (*RequestKind, "evaluation", "validation"):
    for outcome in ("answered", "fallback", "ok", "failed", "disabled"):
        metrics.decision(str(endpoint), outcome, "policy", 0.1)
    for number in range(30):
        metrics.fallback(str(endpoint), f"some-long-reason-{number}")
        metrics.violation(str(endpoint), f"P{number}")
for sink in ("webhook", "http", "nats"):
    for result in ("delivered", "retry", "dead"):
        metrics.delivery(sink, result)
metrics.waiting(3)
for number in range(100):
    for ok in (True, False):
        metrics.git_sync(f"some-rather-long-name-of-a-repository-{number}", ok, datetime.now(UTC))
        metrics.workings.refreshed(f"a-repository/some-group/{'x' * 40}-{number}/1.0", ok, datetime.now(UTC))
    metrics.workings.compiled(0.1, f"some-long-reason-{number}")
metrics.workings.engine(1, 1, 1)
metrics.workings.condition(degraded=False, acting=True)
files = sorted(directory.iterdir())
print([(file.name.split("_")[0], file.stat().st_size == counts.SIZE) for file in files], metrics.render().count(b"405"))
"""

SOMETHING = """
import os
from pathlib import Path
from policy_server.api import counts
counts.reserve(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), os.getpid())
from policy_server.api.metrics import Metrics
metrics = Metrics()
metrics.request("/livez", "GET", 200, 0.01)
"""

WITHOUT = """
from policy_server.api import counts
counts.keep_in_memory()
from policy_server.api.metrics import Metrics
metrics = Metrics()
metrics.request("/livez", "GET", 200, 0.01)
print("counted")
"""


def _run(script: str, directory: Path) -> str:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    return subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_files_have_no_holes(tmp_path: Path) -> None:
    """What is written into a hole of a mapped file on a full disk ends the process."""
    counts.reserve(tmp_path, 7)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        "counter_7.db",
        "gauge_livesum_7.db",
        "gauge_mostrecent_7.db",
        "histogram_7.db",
    ]
    assert all(file.stat().st_blocks * 512 >= counts.SIZE for file in files)


def test_everything_there_is_to_count_fits(tmp_path: Path) -> None:
    """A file that grew would have a hole again; and the library uses these files and no others."""
    found = "[('counter', True), ('gauge', True), ('gauge', True), ('histogram', True)] "
    assert _run(EVERYTHING, tmp_path).startswith(found)


def test_a_worker_that_is_gone_takes_no_more_than_it_used(tmp_path: Path) -> None:
    """Workers that die again and again do not fill the disk, and what they counted stays counted."""
    alive = _run(SOMETHING + "print(metrics.render().decode())", tmp_path)
    (used,) = {int(file.stem.rpartition("_")[2]) for file in tmp_path.iterdir()}
    counts.reserve(tmp_path, used + 1)  # this one died before it counted

    for pid in (used, used + 1, used + 2):
        counts.trim(tmp_path, pid)

    assert {file.name for file in tmp_path.iterdir()} == {f"counter_{used}.db", f"histogram_{used}.db"}
    assert all(file.stat().st_size < 8192 for file in tmp_path.iterdir())
    assert alive == _run("from policy_server.api.metrics import Metrics; print(Metrics().render().decode())", tmp_path)


def test_without_room_nothing_is_left_behind(tmp_path: Path) -> None:
    """Half of the files would be used, and be too small."""
    (tmp_path / "histogram_7.db").mkdir()

    with pytest.raises(OSError, match="histogram_7"):
        counts.reserve(tmp_path, 7)

    assert not (tmp_path / "counter_7.db").exists()


def test_a_worker_without_room_counts_for_itself(tmp_path: Path) -> None:
    """It touches no file, and it lives."""
    assert _run(WITHOUT, tmp_path / "not there") == "counted"
