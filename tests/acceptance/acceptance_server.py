"""Starts the real server, as the README says, on a free port of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Ask again and again until something is true; fail after a minute."""
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)


def processes() -> list[int]:
    """Return the ids of all processes."""
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def parent(pid: int) -> int:
    """Return the parent of a process that runs; 0 of one that has ended, or waits for its parent to notice."""
    try:
        state, above = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == "Z" else int(above)


@dataclass
class Server:
    """One running server: master, two workers, a state directory and a folder of policies."""

    directory: Path
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    output: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """The address it answers at."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """The folder whose policies it follows, as repository ``demo``."""
        return self.directory / "policies"

    def environ(self) -> dict[str, str]:
        """Return what the server is started with; nothing of ours leaks in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("POLICY_", "PROMETHEUS"))}
        return kept | {
            "POLICY_STATE_DIR": str(self.directory / "state"),
            "POLICY_FOLDERS": f"demo={self.folder}",
            "POLICY_PORT": str(self.port),
            "POLICY_LOG_FORMAT": "json",
            "WEB_CONCURRENCY": "2",
            **self.settings,
        }

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.port = free_port()
        self.folder.mkdir(exist_ok=True)
        self.output = (self.directory / "server.log").open("ab")
        command = [sys.executable, "-P", "-m", "policy_server", "serve"]
        self.process = subprocess.Popen(command, env=self.environ(), cwd=ROOT, stdout=self.output, stderr=self.output)
        wait_until(self.is_ready, f"ready; it said:\n{self.log()}")

    def is_ready(self) -> bool:
        """Tell whether it can answer; fail when it has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        if self.output is not None:
            self.output.close()
        return code

    def log(self) -> str:
        """Return everything it said."""
        return (self.directory / "server.log").read_text(errors="replace")

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        assert self.process is not None
        # NOTE: not from /proc/…/children, which leaves some out while others end.
        return sorted(pid for pid in processes() if parent(pid) == self.process.pid)

    def write(self, name: str, rego: str, **files: object) -> None:
        """Write a policy ``demo/g/<name>/1.0``; further files by stem, as JSON or as text."""
        directory = self.folder / "g" / name / "1.0"
        directory.mkdir(parents=True, exist_ok=True)
        for stem, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (directory / f"{stem.replace('_', '-')}.json").write_text(text)
        (directory / "policy.rego").write_text(rego)

    def ask(self, name: str, body: object = None, **options: object) -> requests.Response:
        """Evaluate ``demo/g/<name>/1.0``."""
        address = f"{self.url}/policy/demo/g/{name}/1.0/evaluation"
        return requests.post(address, json=body, timeout=30, **options)  # type: ignore[arg-type] # passed on as given

    def show(self, name: str) -> dict[str, object]:
        """Return how a policy is listed, or nothing."""
        found = requests.get(f"{self.url}/v1/policies", params={"policyName": name}, timeout=10).json()["policies"]
        return next((each for each in found if each["policyName"] == name), {})
