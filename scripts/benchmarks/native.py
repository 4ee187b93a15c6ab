"""Measures OPA's own evaluator with ``opa bench``."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks import peers
from benchmarks.cases import Case
from benchmarks.rounds import Measure, Unmeasured

_SECONDS = 180
_TIMER = "histogram_timer_rego_query_eval_ns_"


def contender(case: Case, directory: Path) -> Measure:
    """Return a measurement of one ``opa bench`` run, about a second of evaluations.

    Raises:
        Unmeasured: there is no ``opa``, or it answers something else.
    """
    opa = peers.opa()
    files = [str(part) for name in sorted(case.modules) for part in ("-d", directory / name)]
    files += ["-d", str(directory / "data.json"), "-i", str(directory / "input.json")]
    evaluated = _run([str(opa), "eval", "--format", "values", *files, case.query])
    if json.loads(evaluated or "[]") != [case.expected]:
        raise Unmeasured(f"opa answers {evaluated.strip()[:80]}")
    command = [str(opa), "bench", "--format", "json", *files, case.query]
    return lambda: figures(json.loads(_run(command)))


def figures(document: Mapping[str, object]) -> dict[str, float]:
    """Read microseconds from what ``opa bench`` prints: its mean, and its own timer around the evaluation."""
    count, whole, extra = document.get("N"), document.get("T"), document.get("Extra")
    if not isinstance(count, int) or not isinstance(whole, int) or not isinstance(extra, Mapping) or not count:
        raise Unmeasured("opa bench printed no figures")
    found = {"mean": whole / count / 1000}
    for name, key in (("median", "median"), ("p99", "99%")):
        if _TIMER + key in extra:
            found[name] = float(extra[_TIMER + key]) / 1000
    return found


def _run(command: list[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unmeasured(f"opa failed: {error}") from error
    if answer.returncode != 0:
        raise Unmeasured(f"opa failed: {(answer.stderr or answer.stdout).strip()[:200]}")
    return answer.stdout
