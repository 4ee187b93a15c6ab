"""Loads a server on loopback with wrk, for a bounded time."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.process import end
from benchmarks.rounds import Unmeasured

CONNECTIONS = 16
_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Request:
    """What wrk sends."""

    url: str
    method: str = "GET"
    body: Path | None = None


class Load:
    """One run of wrk: ``start`` it, do something meanwhile, ``finish`` it."""

    def __init__(self, request: Request, *, seconds: float, connections: int = CONNECTIONS) -> None:
        self._request = request
        self._seconds = max(1, round(seconds))
        self._connections = connections
        self._child: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to send requests; it stops by itself.

        Raises:
            Unmeasured: there is no wrk.
        """
        request = self._request
        command = [str(peers.wrk()), "-t1", f"-c{self._connections}", f"-d{self._seconds}s", "--timeout", "5s"]
        command += ["-s", str(_SCRIPT), request.url, "--", request.method, str(request.body or "")]
        self._child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def finish(self) -> dict[str, float]:
        """Wait for the end and return requests a second, milliseconds and failed requests.

        Raises:
            Unmeasured: wrk failed, or no request got an answer.
        """
        if self._child is None:
            raise Unmeasured("the load was not started")
        try:
            output, _ = self._child.communicate(timeout=self._seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise Unmeasured("wrk did not stop in time") from error
        finally:
            self.stop()
        return figures(output)

    def stop(self) -> None:
        """End wrk if it still runs; safe to repeat."""
        if self._child is not None:
            end(self._child)
            self._child = None


def send(request: Request, *, seconds: float) -> Mapping[str, float]:
    """Load for some seconds and return the figures; a failed request spoils them all.

    Raises:
        Unmeasured: wrk failed, or a request did.
    """
    load = Load(request, seconds=seconds)
    try:
        load.start()
        found = load.finish()
    finally:
        load.stop()
    if found["failed"]:
        raise Unmeasured(f"{found['failed']:.0f} of {found['requests']:.0f} requests failed")
    return found


def figures(output: str) -> dict[str, float]:
    """Read the line that our wrk script writes.

    Raises:
        Unmeasured: it is not there, or no request got an answer.
    """
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise Unmeasured(f"wrk said: {output.strip()[-200:] or 'nothing'}")
    found = json.loads(line.removeprefix("RESULT "))
    if not found["requests"] or not found["seconds"]:
        raise Unmeasured("no request got an answer")
    return {
        "rate": found["requests"] / found["seconds"],
        "p50": found["p50"] / 1000,
        "p99": found["p99"] / 1000,
        "requests": found["requests"],
        "failed": found["refused"] + found["broken"],
    }
