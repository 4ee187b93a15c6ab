"""Starts the servers that are compared: ours, a Falcon hello-world on our settings, and ``opa run -s``."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.cases import Case
from benchmarks.places import IMPORTS, PYTHON
from benchmarks.process import Ask, Process, free_port, running, wait_for

READY_SECONDS = 120.0
REPOSITORY = "bench"


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one run: its policies and its state; ``folder`` is followed as repository ``bench``."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where policies lie."""
        return self.root / "policies"

    def place(self, case: Case, group: str, name: str) -> str:
        """Lay a case out as a policy of the folder and return its path in our API."""
        directory = self.folder / group / name / "1.0"
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in case.modules.items():
            (directory / file).write_text(text, encoding="utf-8")
        (directory / "data.json").write_text(json.dumps(case.data), encoding="utf-8")
        return f"/policy/{REPOSITORY}/{group}/{name}/1.0"

    def environment(self, port: int, workers: int, **more: str) -> dict[str, str]:
        """Return the environment of a server of ours; nothing of the caller's settings counts."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("POLICY_")}
        return {
            **kept,
            "PYTHONPATH": IMPORTS,
            "POLICY_STATE_DIR": str(self.root / "state"),
            "POLICY_FOLDERS": f"{REPOSITORY}={self.folder}",
            "POLICY_HOST": "127.0.0.1",
            "POLICY_PORT": str(port),
            "POLICY_LOG_LEVEL": "warning",
            "WEB_CONCURRENCY": str(workers),
            **more,
        }


@contextlib.contextmanager
def home() -> Iterator[Home]:
    """Make a directory for one run and remove it afterwards."""
    root = Path(tempfile.mkdtemp(prefix="policy-bench-"))
    try:
        (root / "policies").mkdir()
        yield Home(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    process: Process

    def url(self, path: str) -> str:
        """Return a path as a URL."""
        return f"http://127.0.0.1:{self.port}{path}"


def serve_command() -> list[str]:
    """Return the command that starts our server."""
    return [str(PYTHON), "-P", "-m", "policy_server", "serve"]


@contextlib.contextmanager
def ours(place: Home, ready: Ask, *, workers: int, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run our server until the block ends; it has given the right answer when the block begins.

    Raises:
        Unmeasured: it did not get that far.
    """
    environment = place.environment(ready.port, workers, **settings)
    with running(serve_command(), environment) as process:
        wait_for(ready, process, seconds=READY_SECONDS)
        yield Server(ready.port, process)


@contextlib.contextmanager
def hello(place: Home, *, workers: int) -> Iterator[Server]:
    """Run a Falcon hello-world on gunicorn with the settings of our server.

    Raises:
        Unmeasured: it did not answer.
    """
    port = free_port()
    command = [str(PYTHON), "-m", "gunicorn", "-c", "python:policy_server.gunicorn_conf", "benchmarks.hello:app"]
    environment = place.environment(port, workers, POLICY_STATE_DIR=str(place.root / "hello"))
    with running(command, environment) as process:
        wait_for(Ask(port, "/", expected=b"Hello"), process, seconds=READY_SECONDS)
        yield Server(port, process)


def opa_command(port: int, files: list[Path]) -> list[str]:
    """Return the command that starts ``opa`` as a server; it does not report its use to anybody."""
    listen = ["--addr", f"127.0.0.1:{port}", "--log-level", "error", "--disable-telemetry"]
    return [str(peers.opa()), "run", "--server", *listen, *map(str, files)]


@contextlib.contextmanager
def opa(case: Case, directory: Path, ready: Ask) -> Iterator[Server]:
    """Run ``opa`` as a server over the same policy and data.

    Raises:
        Unmeasured: there is no opa, or it did not give the right answer.
    """
    files = [directory / name for name in (*sorted(case.modules), "data.json")]
    with running(opa_command(ready.port, files)) as process:
        wait_for(ready, process, seconds=READY_SECONDS)
        yield Server(ready.port, process)
