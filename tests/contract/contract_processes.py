"""Start and talk to second processes."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
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
        self._complaints = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it for certain."""
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self._complaints):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

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
        assert line, f"the worker ended: {self._complained()}"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def finish(self) -> list[dict[str, Any]]:
        """Let it end by itself; return the rest of what it said."""
        said = self._rest()
        assert (self.process.wait(60), self._complained()) == (0, "")
        return said

    def kill(self) -> list[dict[str, Any]]:
        """Kill it with SIGKILL; return what it had said and nobody had read."""
        self.process.kill()
        said = self._rest()
        self.process.wait(60)
        return said

    def _rest(self) -> list[dict[str, Any]]:
        # Not communicate(): it does not see what readline() has already taken out of the pipe.
        assert self.process.stdout is not None
        lines = self.process.stdout.readlines()
        # A line without its end was not acknowledged.
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _complained(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode()
