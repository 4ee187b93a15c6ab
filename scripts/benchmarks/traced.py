"""What traces cost: a Pexip request with tracing off, with one trace in a hundred, and with all of them.

``PYTHONPATH=scripts .venv/bin/python -m benchmarks.traced [rounds] [another checkout]``; the other checkout, with
``compiled/`` in it, is measured beside ours. The collector is in this process, reads what it gets and forgets it.
"""

import contextlib
import os
import statistics
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import load, servers
from benchmarks.book import pexip
from benchmarks.load import Request
from benchmarks.process import free_port
from benchmarks.rounds import Measure, Results, interleave
from benchmarks.servers import Server
from benchmarks.stats import Series

WORKERS = 2
SECONDS = 5
RULES = 10
HELLO, OTHER, OFF = "hello-world, same request", "another checkout", "off"
SAMPLED = {"1 in 100": "0.01", "all": "1"}


class Collector(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self) -> None:
        """Read a batch and forget it."""
        Collector.taken += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def collecting() -> Iterator[str]:
    """Run a collector; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ours(stack: contextlib.ExitStack, **settings: str) -> Measure:
    """Start a server of ours with further variables; what measures it."""
    place = stack.enter_context(servers.home())
    subject = pexip(RULES)
    place.place(subject.case, subject.group, subject.policy)
    ask = subject.ours(free_port())
    variables = {**subject.settings, **settings}
    return sending(stack.enter_context(servers.ours(place, ask, workers=WORKERS, settings=variables)), ask.path)


def used(server: Server) -> float:
    """Return the processor time that the workers of a server have used, in seconds."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def sending(server: Server, path: str) -> Measure:
    """Return what measures a server once, the first time after a second of warming it.

    On a busy machine the processor time of a request says more than how many there were.
    """
    warm, url = [True], server.url(path)

    def measure() -> Mapping[str, float]:
        if warm:
            load.send(Request(url), seconds=1)
            warm.clear()
        before = used(server)
        found = load.send(Request(url), seconds=SECONDS)
        return {**found, "cpu": (used(server) - before) / found["requests"] * 1e6}

    return measure


def measured(rounds: int, other: Path | None) -> Results:
    """Start everything, and measure in turns."""
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(collecting())
        hello = stack.enter_context(servers.hello(stack.enter_context(servers.home()), workers=WORKERS))
        contenders = {HELLO: sending(hello, pexip(RULES).ours(hello.port).path), OFF: ours(stack)}
        if other is not None:
            contenders[OTHER] = ours(stack, PYTHONPATH=str(other))
        for name, part in SAMPLED.items():
            sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": part}
            contenders[name] = ours(stack, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **sampler)
        return interleave(rounds, contenders)


def main(rounds: int, other: Path | None) -> None:
    """Print the rate, the latency and the processor time of each, the last also as more than when off."""
    found = measured(rounds, other)
    off = found.series(OFF, "cpu")
    print(f"{'':<28}{'1/s':>8}{'p50 ms':>8}{'p99 ms':>8}{'cpu µs':>8}  more than off, in µs (least, most)")
    for name in (*found.figures, *found.missing):
        cpu = found.series(name, "cpu")
        if not isinstance(cpu, Series) or not isinstance(off, Series):
            print(f"{name:<28}not measured: {found.missing.get(name)}")
            continue
        more = [mine - base for mine, base in zip(cpu.values, off.values, strict=True)]
        rate, p50, p99, time = (
            statistics.median(each[key] for each in found.figures[name]) for key in ("rate", "p50", "p99", "cpu")
        )
        shown = f"{statistics.median(more):+.0f} ({min(more):+.0f}, {max(more):+.0f})"
        print(f"{name:<28}{rate:>8.0f}{p50:>8.2f}{p99:>8.2f}{time:>8.0f}  {shown}")
    print(f"the collector got {Collector.taken >> 10} KiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5, Path(sys.argv[2]) if sys.argv[2:] else None)
