"""The command line of ``scripts/conformance``: OPA's own test cases, run by this product."""

import argparse
import sys
import time

from rich.console import Console

from opa_suite import known, report, running
from opa_suite.cases import read
from opa_suite.laboratory import SEMANTICS
from opa_suite.source import Unprepared, prepared
from policy_server.model.errors import PolicyServerError


def main() -> int:
    """Run cases and print how they ended; 1 when that is not what the list of known differences says."""
    arguments = _parser().parse_args()
    try:
        cases = [each for each in read(prepared(unmoved=arguments.alone)) if arguments.filter in each.name]
        if not cases:
            sys.stderr.write(f"conformance: no case has {arguments.filter!r} in its name\n")
            return 2
        listed = known.read(known.file(arguments.semantics))
        started = time.monotonic()
        outcomes = running.run(cases, semantics=arguments.semantics, jobs=arguments.jobs, progress=_progress)
    except (Unprepared, PolicyServerError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    found = report.Report(outcomes, listed, time.monotonic() - started)
    if arguments.json:
        sys.stdout.write(report.to_json(found) + "\n")
    else:
        report.show(found, Console(highlight=False))
    if arguments.write_known:
        renewed = known.renewed(listed, {each.case.name: each.passed for each in outcomes})
        known.write(renewed, known.file(arguments.semantics))
        return 0
    return 0 if found.good else 1


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total}" + ("\r\033[K" if done == total else ""))
        sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=__doc__)
    parser.add_argument("--filter", default="", help="run only cases with this in 'suite/category/file: note'")
    parser.add_argument("--semantics", choices=SEMANTICS, default="exact", help="what the cases say about themselves")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write-known", action="store_true", help="write the list anew; reasons of old ones stay")
    parser.add_argument("--alone", action="store_true", help="compile each case alone, in OPA's own text: slow")
    parser.add_argument("--jobs", type=int, default=running.processors(), help="how many processes (all processors)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
