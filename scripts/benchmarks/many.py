"""Follow a Git repository of many policies with a real server: start, memory, first evaluation, latency, pushes.

``PYTHONPATH=scripts .venv/bin/python -m benchmarks.many [POLICIES] [PACKAGES]``; 5,000 policies are versions of 100
packages unless told otherwise, because compiling 5,000 different ones takes ten minutes of processor time.
Needs git. Everything stays on loopback, in a directory that is removed afterwards.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.places import PYTHON
from benchmarks.process import free_port
from benchmarks.rounds import Unmeasured

_REGO = """package g.p{number}

import rego.v1

default allow := false

allow if input.user in data.users

limit := data.limit
"""
_PATIENCE = 3600.0


def git(*arguments: object, cwd: Path) -> None:
    """Run Git."""
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", *identity, *map(str, arguments)], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


class Bench:
    """One repository, its server, and ours."""

    def __init__(self, root: Path, policies: int, packages: int) -> None:
        self.root, self.policies, self.packages = root, policies, packages
        self.work, self.port, self.git_port = root / "work", free_port(), free_port()
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask our server over one connection."""
        self.connection.request(method, path, json.dumps(body) if body is not None else None)
        found: dict[str, object] = json.loads(self.connection.getresponse().read())
        return found

    def evaluate(self, number: int) -> float:
        """Evaluate a policy; return the milliseconds that took."""
        path = f"/policy/many/g/p{number % self.packages}/{number // self.packages}/evaluation"
        began = time.perf_counter()
        answer = self.ask("POST", path, {"user": "alice"})
        took = (time.perf_counter() - began) * 1000
        if answer != {"allow": True, "limit": number}:
            raise Unmeasured(f"policy {number} answers {answer}")
        return took

    def fill(self) -> None:
        """Make the repository."""
        git("init", "-q", "--bare", "-b", "main", self.root / "many.git", cwd=self.root)
        git("init", "-q", "-b", "main", self.work, cwd=self.root)
        git("remote", "add", "origin", self.root / "many.git", cwd=self.work)
        for number in range(self.policies):
            directory = self.work / "g" / f"p{number % self.packages}" / str(number // self.packages)
            directory.mkdir(parents=True)
            (directory / "policy.rego").write_text(_REGO.format(number=number % self.packages))
            (directory / "data.json").write_text(json.dumps({"users": ["alice", f"bob{number}"], "limit": number}))
        self.push()

    def push(self) -> None:
        """Commit and push."""
        git("add", "-A", cwd=self.work)
        git("commit", "-q", "-m", "change", cwd=self.work)
        git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=self.work)

    def serve_git(self) -> subprocess.Popen[bytes]:
        """Start the Git server."""
        where = ["--listen=127.0.0.1", f"--port={self.git_port}", f"--base-path={self.root}", "--export-all"]
        return subprocess.Popen(["git", "daemon", "--reuseaddr", *where], start_new_session=True)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start our server and wait until it is ready."""
        table = {"many": {"url": f"git://127.0.0.1:{self.git_port}/many.git", "interval": "1h"}}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("POLICY_")}
        environ |= {"POLICY_GIT": json.dumps(table), "POLICY_PORT": str(self.port), "WEB_CONCURRENCY": "2"}
        environ |= {"POLICY_STATE_DIR": str(self.root / "state"), "POLICY_LOG_LEVEL": "warning"}
        command = [PYTHON, "-P", "-m", "policy_server", "serve"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until(self.is_ready)
        return process

    def is_ready(self) -> bool:
        """Tell whether our server answers."""
        try:
            return self.ask("GET", "/readyz")["status"] in {"ready", "degraded"}
        except OSError:
            self.connection.close()
            return False

    def until(self, true: Callable[[], bool]) -> float:
        """Wait for something; return the seconds that took."""
        began = time.perf_counter()
        while not true():
            if time.perf_counter() - began > _PATIENCE:
                raise Unmeasured(f"not over after {_PATIENCE:.0f} s")
            time.sleep(0.02)
        return time.perf_counter() - began

    def state(self) -> dict[str, object]:
        """Return how the repository is doing."""
        return self.ask("GET", "/v1/git/many")


def say(what: str, value: object) -> None:
    """Print a line of the result."""
    print(f"{what:<44}{value}", flush=True)


def memory(process: subprocess.Popen[bytes]) -> str:
    """Return the resident memory of the workers, in MB."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    kilobytes = [Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0] for pid in children]
    return " + ".join(f"{int(each) // 1024} MB" for each in kilobytes)


def percentiles(times: list[float]) -> str:
    """Return median and 99th percentile, in milliseconds."""
    return f"p50 {statistics.median(times):.2f} ms, p99 {sorted(times)[int(len(times) * 0.99)]:.2f} ms"


def measure(bench: Bench) -> None:
    """Start everything, measure, stop everything."""
    bench.fill()
    daemon = bench.serve_git()
    server = bench.serve()
    try:
        say("memory of the workers, ready", memory(server))
        say("first commit published after", f"{bench.until(lambda: bench.state()['last_success'] is not None):.1f} s")
        time.sleep(20)  # until its events were handed on, one by one: what is steady is to be measured
        say("memory, everything published", memory(server))
        chosen = random.Random(1).sample(range(bench.policies), min(bench.policies, 300))
        say(f"first evaluation of {len(chosen)} policies", percentiles([bench.evaluate(number) for number in chosen]))
        say("one policy, again", percentiles([bench.evaluate(chosen[0]) for _ in range(2000)]))
        say("50 policies in turn", percentiles([bench.evaluate(chosen[n % 50]) for n in range(2000)]))
        say("memory after that", memory(server))
        for number in range(5):
            say("from push to every worker", f"{_pushed(bench, number):.2f} s")
        server.terminate()
        server.wait(60)
        bench.connection.close()
        server = bench.serve()
        say("restart: compared with Git after", f"{bench.until(lambda: bench.state()['published'] == 0):.1f} s")
    finally:
        server.terminate()
        server.wait(60)
        os.killpg(daemon.pid, 15)
        daemon.wait(10)


def _pushed(bench: Bench, number: int) -> float:
    """Push a change; return the seconds until 16 new connections in a row see it."""
    (bench.work / "g/p0/0/policy.rego").write_text(f"package g.p0\n\nn := {number}\n")
    bench.push()
    began = time.perf_counter()
    bench.ask("POST", "/v1/git/many/sync?wait=0")
    seen = 0
    while seen < 16:
        bench.connection.close()
        seen = seen + 1 if bench.ask("POST", "/policy/many/g/p0/0/evaluation", {}) == {"n": number} else 0
    return time.perf_counter() - began


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="policy-bench-") as made:
        measure(Bench(Path(made), *(int(text) for text in (sys.argv[1:3] + ["5000", "100"][len(sys.argv) - 1 :]))))
