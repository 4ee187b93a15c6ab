"""The command line of ``scripts/bench``."""

import argparse
import sys
from collections.abc import Callable

from benchmarks import engine, functions, reload, report, rules, start, web
from benchmarks.rounds import Unmeasured, progress

_ROUNDS = {"builtins": 1, "engine": 5, "rules": 3, "http": 3, "start": 5, "reload": 5}


def main() -> int:
    """Run one benchmark and print what it found; return the exit code."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.memory and arguments.bench not in {"engine", "reload"}:
        parser.error("--memory goes with engine or reload")
    rounds = arguments.rounds or (2 if arguments.quick else _ROUNDS[arguments.bench])
    before = report.machine()
    try:
        found = _chosen(arguments.bench, memory=arguments.memory)(rounds, quick=arguments.quick)
    except Unmeasured as error:
        progress(f"bench {arguments.bench}: {error}")
        return 1
    except KeyboardInterrupt:
        progress("stopped")
        return 130
    if arguments.json:
        print(report.to_json(found, rounds=rounds, quick=arguments.quick, before=before, after=report.machine()))
    else:
        print(report.to_table(found))
        if arguments.quick:
            print("\nnote: --quick checks that everything runs; its figures are not worth quoting")
    return 0


def _chosen(bench: str, *, memory: bool) -> Callable[..., report.Report]:
    watching = {"engine": engine.memory, "reload": reload.memory}
    if memory:
        return lambda _rounds, *, quick: watching[bench](quick=quick)
    return {
        "builtins": functions.run,
        "engine": engine.run,
        "rules": rules.run,
        "http": web.run,
        "start": start.run,
        "reload": reload.run,
    }[bench]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("bench", choices=list(_ROUNDS), help="what to measure")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does everything run?")
    parser.add_argument("--rounds", type=int, default=0, help="how often each contender is measured")
    parser.add_argument("--memory", action="store_true", help="engine, reload: watch resident memory instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
