"""`reload`: a policy is edited while wrk runs; how long until every worker answers with it, and what failed."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers, servers
from benchmarks.cases import Case
from benchmarks.load import Load, Request
from benchmarks.probes import Probes
from benchmarks.process import Ask, children, free_port, resident, running, wait_for
from benchmarks.report import Report
from benchmarks.rounds import Measure, Results, Unmeasured, interleave, progress
from benchmarks.stats import Better, Comparison

OURS, OPA = "ours", "opa run -s --watch"
_WORKERS = 2
_FRESH = 50
_WAIT = 30.0
_PATH = "/policy/bench/bench/toggle/1.0/evaluation"
_CONNECTIONS = 8
_MEMORY_SECONDS = 1500


def _case(revision: int) -> Case:
    text = f"package bench.toggle\n\nrevision := {revision}\n"
    return Case("toggle", {"policy.rego": text}, "bench/toggle/revision", {}, revision)


class Edits:
    """Writes one revision after the other to a policy file, each as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.revision = 1

    def next(self) -> float:
        """Write the next revision and return when it was there."""
        self.revision += 1
        aside = self._path.with_name(f".{self._path.name}.next")
        aside.write_text(_case(self.revision).modules["policy.rego"], encoding="utf-8")
        aside.replace(self._path)
        return time.perf_counter()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a load runs, and how much of that before the edit, in seconds."""

    whole: float = 4.0
    before: float = 1.0


@dataclass(frozen=True, slots=True)
class Ours:
    """Our server under load, edited again and again."""

    server: servers.Server
    edits: Edits
    probes: Probes
    timing: Timing = Timing()

    def edit(self) -> dict[int, float]:
        """Edit once and return how long each worker took, in seconds; then fresh connections see the new one only."""
        began = self.edits.next()
        expected = _ours_answer(self.edits.revision)
        seen = self.probes.until_all(expected, began=began, seconds=_WAIT)
        fresh = Ask(self.server.port, _PATH, expected=expected)
        if any(fresh.once() is None for _ in range(_FRESH)):
            raise Unmeasured("a fresh connection got an old answer, or none, after all workers had the new one")
        return seen

    def measure(self) -> Mapping[str, float]:
        """Edit in the middle of a load."""
        run = Load(Request(self.server.url(_PATH)), seconds=self.timing.whole, connections=_CONNECTIONS)
        try:
            run.start()
            time.sleep(self.timing.before)
            seen = self.edit()
            done = run.finish()
        finally:
            run.stop()
        broken = done["failed"] + self.probes.broken
        return {
            "all": max(seen.values()) * 1000,
            "first": min(seen.values()) * 1000,
            "failed": broken,
            "requests": done["requests"],
        }


def _ours_answer(revision: int) -> bytes:
    return f'"revision":{revision}}}'.encode()


@contextmanager
def _ours(timing: Timing) -> Iterator[Ours]:
    with servers.home() as place:
        place.place(_case(1), "bench", "toggle")
        edits = Edits(place.folder / "bench" / "toggle" / "1.0" / "policy.rego")
        ready = Ask(free_port(), _PATH, expected=_ours_answer(1))
        with servers.ours(place, ready, workers=_WORKERS, settings={}) as server:
            probes = Probes(ready, server.process.pid)
            try:
                probes.open(_WORKERS)
                yield Ours(server, edits, probes, timing)
            finally:
                probes.close()


@dataclass(frozen=True, slots=True)
class Opa:
    """``opa run -s --watch`` under load, edited again and again."""

    port: int
    edits: Edits
    timing: Timing

    def measure(self) -> Mapping[str, float]:
        """Edit in the middle of a load and ask until the new answer comes."""
        path = "/v1/data/bench/toggle/revision"
        run = Load(Request(f"http://127.0.0.1:{self.port}{path}"), seconds=self.timing.whole, connections=_CONNECTIONS)
        try:
            run.start()
            time.sleep(self.timing.before)
            began = self.edits.next()
            ask = Ask(self.port, path, expected=f'"result":{self.edits.revision}}}'.encode())
            while ask.once() is None:
                if time.perf_counter() - began > _WAIT:
                    raise Unmeasured(f"no new answer in {_WAIT:.0f} s")
                time.sleep(0.002)
            taken = time.perf_counter() - began
            done = run.finish()
        finally:
            run.stop()
        return {"all": taken * 1000, "failed": done["failed"], "requests": done["requests"]}


@contextmanager
def _opa(timing: Timing) -> Iterator[Opa]:
    with servers.home() as place:
        directory = place.root / "watched"
        _case(1).lay(directory)
        port = free_port()
        command = servers.opa_command(port, [directory / "policy.rego"])
        ask = Ask(port, "/v1/data/bench/toggle/revision", expected=b'"result":1}')
        with running([*command, "--watch"]) as process:
            wait_for(ask, process, seconds=servers.READY_SECONDS)
            yield Opa(port, Edits(directory / "policy.rego"), timing)


def run(rounds: int, *, quick: bool) -> Report:
    """Edit once a round, ours and OPA's in turn; both servers are up all the time, one of them under load.

    Raises:
        Unmeasured: there is no wrk.
    """
    peers.wrk()
    timing = Timing(2.0, 0.3) if quick else Timing()
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        try:
            measures[OURS] = stack.enter_context(_ours(timing)).measure
        except Unmeasured as error:
            missing[OURS] = str(error)
        try:
            measures[OPA] = stack.enter_context(_opa(timing)).measure
        except Unmeasured as error:
            missing[OPA] = str(error)
        merged = interleave(rounds, measures, missing)
    return Report(
        "reload",
        (
            _compare(merged, f"edit to the new answer from all {_WORKERS} workers", "all", "ms"),
            _compare(merged, "failed requests meanwhile", "failed", "requests", aim="0"),
            _compare(merged, "requests meanwhile", "requests", "requests", better=Better.MORE),
        ),
        notes=(
            f"wrk -c{_CONNECTIONS} runs all the time; each worker is asked on a connection of its own until it has the "
            f"new policy, then {_FRESH} fresh connections must all see it; opa has one process",
        ),
    )


def _compare(
    results: Results, case: str, metric: str, unit: str, *, better: Better = Better.LESS, aim: str = ""
) -> Comparison:
    return Comparison(case, unit, better, results.series(OURS, metric), (results.series(OPA, metric),), aim=aim)


def memory(*, quick: bool) -> Report:
    """Show the resident memory of all our processes over a thousand reloads."""
    total = 5 if quick else 1000
    marks = {max(1, int(total * part)) for part in (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)}
    facts: list[tuple[str, float]] = []
    began = time.monotonic()
    with _ours(Timing()) as subject:
        for turn in range(1, total + 1):
            subject.edit()
            if turn in marks:
                progress(f"  {turn} reloads in {time.monotonic() - began:.0f} s")
                pids = [subject.server.process.pid, *children(subject.server.process.pid)]
                facts += [(f"resident MiB after {turn:,} reloads, all processes", sum(map(resident, pids)))]
                facts += [(f"resident MiB after {turn:,} reloads, largest worker", max(map(resident, pids)))]
            if time.monotonic() - began > _MEMORY_SECONDS:
                facts.append(("stopped at the time limit after reloads", turn))
                break
        facts.append(("failed requests", subject.probes.broken))
    return Report(
        "reload --memory", (), facts=tuple(facts), notes=(f"{os.cpu_count()} processors, {_WORKERS} workers",)
    )
