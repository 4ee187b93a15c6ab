"""Spreads batches over processes."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from opa_suite.cases import Case, batches
from opa_suite.laboratory import Laboratory, Outcome

_shared: dict[str, Laboratory] = {}


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(cases: Sequence[Case], *, semantics: str, jobs: int, progress: Callable[[int, int], None]) -> list[Outcome]:
    """Run cases with ``semantics`` in ``jobs`` processes; outcomes come in the order of the cases.

    ``progress`` is told how many cases are done, of how many.
    """
    found: dict[str, Outcome] = {}
    # Not forked: threads of wasmtime would not follow.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as workers:
        for each in as_completed([workers.submit(_batch, batch, semantics) for batch in batches(cases)]):
            found |= {outcome.case.name: outcome for outcome in each.result()}
            progress(len(found), len(cases))
    return [found[each.name] for each in cases]


def _batch(batch: Sequence[Case], semantics: str) -> list[Outcome]:
    if semantics not in _shared:
        _shared[semantics] = Laboratory(semantics)
    return _shared[semantics].run(batch)
