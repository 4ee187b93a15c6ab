"""How each hostile call of the tests ends, after how long, and how much memory this process has then.

Run it as ``PYTHONPATH=scripts .venv/bin/python -m benchmarks.hostile``.
"""

import importlib
import os
import sys
import time

from benchmarks.places import ROOT
from benchmarks.process import resident
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import PolicyServerError
from policy_server.model.policy import Dialect
from policy_server.settings import load_settings
from policy_server.toolkit.location import find_toolkit
from policy_server.toolkit.toolkit import Toolkit

DEADLINE = 1.0
"""Seconds that each call is given, as in the tests."""

_CALLS = ROOT / "tests" / "unit" / "builtins"


def main() -> int:
    """Print a line for each call and the worst of all; return the exit code."""
    module = find_toolkit()
    if module is None:
        print("bench hostile: there is no toolkit: run scripts/setup first", file=sys.stderr)
        return 1
    sys.path.insert(0, str(_CALLS))
    calls = importlib.import_module("hostile_calls")
    given = calls.hostile_input()
    toolkit = Toolkit(module, cache=load_settings().cache_dir / "toolkit")
    registry = Registry.discover().bind(toolkit)
    worst = [0.0, 0.0]
    print(f"{'call':24}{'seconds':>8}{'MiB':>7}  ended with")
    for name in calls.HOSTILE:
        wasm = toolkit.build({"p.rego": calls.rego(name)}, ["t/p"], dialect=Dialect.V1)
        policy = Policy.load(wasm, registry=registry, deadline=DEADLINE)
        started = time.perf_counter()
        ended = _ended(policy, given)
        seconds, memory = time.perf_counter() - started, resident(os.getpid())
        policy.close()
        worst = [max(worst[0], seconds), max(worst[1], memory)]
        print(f"{name:24}{seconds:8.2f}{memory:7.0f}  {ended}", flush=True)
    print(f"{'worst':24}{worst[0]:8.2f}{worst[1]:7.0f}  (deadline {DEADLINE:g} s, input {len(given) / 1e6:.1f} MB)")
    return 0


def _ended(policy: Policy, given: bytes) -> str:
    try:
        answer = policy.evaluate_json(given, entrypoint="t/p") or b""
    except PolicyServerError as error:
        return type(error).__name__
    return "a value" if b'"x"' in answer else "undefined"


if __name__ == "__main__":
    sys.exit(main())
