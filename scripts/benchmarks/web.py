"""`http`: requests a second and latency of our server, of hello-world on the same gunicorn, and of ``opa run``."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks import load, peers, servers
from benchmarks.book import pexip
from benchmarks.load import Request
from benchmarks.process import Ask, free_port
from benchmarks.report import Report
from benchmarks.rounds import Measure, Results, Unmeasured, interleave, progress
from benchmarks.stats import Better, Comparison, Missing, Series, shares
from benchmarks.subjects import Subject, evaluation

WORKERS = 2
OURS, SAME, PLAIN, OPA = "ours", "hello-world, same request", "hello-world, GET /", "opa run -s"
_RULES = 10
_AIM = "our share of hello-world at most 25 %"
_NOTES = (
    f"{WORKERS} workers, wrk -t1 -c{load.CONNECTIONS}; wrk takes its own part of the same processors",
    "hello-world runs on the same gunicorn settings and worker class; the same request has the same line, headers "
    "and body as ours; share = 1 − our rate / its rate",
)


def run(rounds: int, *, quick: bool) -> Report:
    """Measure each kind of request.

    Raises:
        Unmeasured: there is no wrk.
    """
    peers.wrk()
    comparisons: list[Comparison] = []
    notes: list[str] = []
    makers: tuple[tuple[str, Callable[[], Subject]], ...] = (
        ("Pexip request", partial(pexip, _RULES)),
        ("POST evaluation", evaluation),
    )
    for name, make in makers:
        try:
            comparisons += _measure(make(), rounds, seconds=1 if quick else 5)
        except Unmeasured as error:
            notes.append(f"{name} not measured: {error}")
    return Report("http", tuple(comparisons), notes=(*_NOTES, *notes))


def _measure(subject: Subject, rounds: int, *, seconds: float) -> list[Comparison]:
    progress(subject.name)
    with servers.home() as place, _contenders(place, subject, seconds) as (measures, missing):
        results = interleave(rounds, measures, missing)
    return [
        _compare(results, subject, "requests a second", "rate", "1/s", Better.MORE),
        _compare(results, subject, "latency p50", "p50", "ms", Better.LESS),
        _compare(results, subject, "latency p99", "p99", "ms", Better.LESS),
    ]


def _compare(results: Results, subject: Subject, what: str, metric: str, unit: str, better: Better) -> Comparison:
    mine = results.series(OURS, metric)
    others = {name: results.series(name, metric) for name in (SAME, PLAIN, OPA)}
    counted = metric == "rate"
    derived = [_share(mine, others[name], name) for name in (SAME, PLAIN)] if counted else []
    return Comparison(
        f"{subject.name}, {what}",
        unit,
        better,
        mine,
        tuple(others.values()),
        tuple(series for series in derived if series.values),
        _AIM if counted else "",
    )


def _share(mine: Series | Missing, bare: Series | Missing, name: str) -> Series:
    values = shares(mine.values, bare.values) if isinstance(mine, Series) and isinstance(bare, Series) else ()
    return Series(f"our share of {name}", values)


@contextlib.contextmanager
def _contenders(
    place: servers.Home, subject: Subject, seconds: float
) -> Iterator[tuple[dict[str, Measure], dict[str, str]]]:
    """Start all servers; they stay up, idle while another is measured."""
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    starts: tuple[tuple[tuple[str, ...], _Start], ...] = (((OURS,), _ours), ((SAME, PLAIN), _hello), ((OPA,), _opa))
    with contextlib.ExitStack() as stack:
        for labels, start in starts:
            try:
                requests = start(stack, place, subject)
            except Unmeasured as error:
                missing |= dict.fromkeys(labels, str(error))
            else:
                measures |= {label: _sending(request, seconds) for label, request in requests.items()}
        yield measures, missing


def _sending(request: Request, seconds: float) -> Measure:
    warm = [True]

    def measure() -> Mapping[str, float]:
        if warm:
            load.send(request, seconds=1)
            warm.clear()
        return load.send(request, seconds=seconds)

    return measure


_Start = Callable[[contextlib.ExitStack, servers.Home, Subject], dict[str, Request]]


def _ours(stack: contextlib.ExitStack, place: servers.Home, subject: Subject) -> dict[str, Request]:
    place.place(subject.case, subject.group, subject.policy)
    ask = subject.ours(free_port())
    stack.enter_context(servers.ours(place, ask, workers=WORKERS, settings=subject.settings))
    return {OURS: _request(ask, place.root / "ours-body.json")}


def _hello(stack: contextlib.ExitStack, place: servers.Home, subject: Subject) -> dict[str, Request]:
    server = stack.enter_context(servers.hello(place, workers=WORKERS))
    same = _request(subject.ours(server.port), place.root / "hello-body.json")
    return {SAME: same, PLAIN: Request(server.url("/"))}


def _opa(stack: contextlib.ExitStack, place: servers.Home, subject: Subject) -> dict[str, Request]:
    directory = place.root / "opa"
    subject.case.lay(directory)
    ask = subject.opa(free_port())
    stack.enter_context(servers.opa(subject.case, directory, ask))
    return {OPA: _request(ask, place.root / "opa-body.json")}


def _request(ask: Ask, file: Path) -> Request:
    """Return a question as wrk sends it; a body is kept in a file."""
    if ask.body is not None:
        file.write_bytes(ask.body)
    return Request(f"http://127.0.0.1:{ask.port}{ask.path}", ask.method, file if ask.body is not None else None)
