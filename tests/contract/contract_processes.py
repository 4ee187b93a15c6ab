"""Start and talk to second processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent


class Worker:
    """A running ``contract_worker.py``; killed when the block ends."""

    def __init__(self, url: str, task: str, *arguments: str) -> None:
        """Take what to do."""
        self._command = [sys.executable, "-W", "error", str(HERE / "contract_worker.py"), url, task, *arguments]

    def __enter__(self) -> "Worker":
        """Start it."""
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it for certain."""
        self.process.kill()
        self.process.communicate()

    def wait_ready(self) -> None:
        """Wait until its store is open."""
        assert self.hear()["did"] == "ready"

    def tell(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the worker ended: {self.process.communicate()[1]}"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def finish(self) -> list[dict[str, Any]]:
        """Let it end by itself; return the rest of what it said."""
        said, complaints = self.process.communicate(timeout=120)
        assert (self.process.returncode, complaints) == (0, "")
        return [json.loads(line) for line in said.splitlines()]

    def kill(self) -> list[dict[str, Any]]:
        """Kill it with SIGKILL; return what it had said and nobody had read."""
        self.process.kill()
        said = self.process.communicate()[0]
        # A line without its end was not acknowledged.
        return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]
