"""Starts processes, asks them, measures their memory, and ends them whatever happens."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import ROOT
from benchmarks.rounds import Unmeasured

_STOP_SECONDS = 10


@contextlib.contextmanager
def running(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Iterator["Process"]:
    """Run a program in a session of its own while the block lasts; its whole group is ended after it."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=ROOT,
            start_new_session=True,
        )
        process = Process(child.pid, child, log.fileno())
        try:
            yield process
        finally:
            end(child)


def end(child: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """End a child with its group: politely, then by force."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Process:
    """A running program and what it wrote."""

    pid: int
    child: "subprocess.Popen[bytes]"
    log: int

    def output(self) -> str:
        """Return the last lines it wrote."""
        size = os.fstat(self.log).st_size
        return os.pread(self.log, 4000, max(0, size - 4000)).decode(errors="replace").strip()

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.child.poll() is None


def free_port() -> int:
    """Return a loopback port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request, and what its answer must hold."""

    port: int
    path: str
    method: str = "GET"
    body: bytes | None = None
    expected: bytes = b""

    def once(self, timeout: float = 5.0) -> bytes | None:
        """Ask on a fresh connection; None when there is no answer, or not the expected one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Content-Type": "application/json"} if self.body is not None else {}
        try:
            connection.request(self.method, self.path, self.body, headers)
            reply = connection.getresponse()
            answer = reply.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return answer if reply.status == 200 and self.expected in answer else None


def wait_for(ask: Ask, process: Process, *, seconds: float, pause: float = 0.02) -> None:
    """Ask until the expected answer comes.

    Raises:
        Unmeasured: it did not come in time, or the program ended.
    """
    until = time.perf_counter() + seconds
    while ask.once() is None:
        if not process.alive():
            raise Unmeasured(f"the server ended: {_last_words(process.output())}")
        if time.perf_counter() > until:
            place = ask.path.partition("?")[0]
            raise Unmeasured(f"no right answer from {place} in {seconds:.0f} s: {_last_words(process.output())}")
        time.sleep(pause)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-300:] or "it wrote nothing"


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB.

    Raises:
        Unmeasured: this system has no ``/proc``.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Unmeasured(f"resident memory is read from /proc, which says: {error.strerror}") from error
    line = next((line for line in text.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


def children(pid: int) -> list[int]:
    """Return the direct children of a process, oldest first; empty where ``/proc`` does not tell."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return sorted(found)


class _Killer:
    """Kills a child that takes too long, while the block lasts."""

    def __init__(self, child: "subprocess.Popen[str]", seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._fire)
        self._child = child
        self.fired = False

    def _fire(self) -> None:
        self.fired = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def __enter__(self) -> "_Killer":
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class Worker:
    """A measuring process that answers one JSON line for each line it is sent."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], seconds: float) -> None:
        self._command = [str(part) for part in command]
        self._environment = dict(environment)
        self._seconds = seconds
        self._child: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process that is measured; zero before it was started."""
        return self._child.pid if self._child is not None else 0

    def ask(self, question: Mapping[str, object]) -> dict[str, float]:
        """Send a question, starting the process at the first, and return its figures.

        Raises:
            Unmeasured: the process failed or took too long; its words are in the message.
        """
        if self._child is None:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:
            raise Unmeasured("its pipes are closed")
        timer = _Killer(self._child, self._seconds)
        try:
            with timer:
                stdin.write(json.dumps(question) + "\n")
                stdin.flush()
                line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Unmeasured(
                f"it took more than {self._seconds:.0f} s" if timer.fired else "it ended without an answer"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise Unmeasured(answer["error"])
        return {name: float(value) for name, value in answer.items()}

    def close(self) -> None:
        """End the process, if it runs."""
        if self._child is not None:
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            end(self._child)
            self._child = None
