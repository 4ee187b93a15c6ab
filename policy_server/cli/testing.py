"""Runs Rego tests: on OPA's interpreter and in this product's WebAssembly runtime."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from policy_server.cli import options, output
from policy_server.cli.rego import DialectOption, Rego, either
from policy_server.model.errors import PolicyServerError, ToolkitError
from policy_server.model.values import Json, JsonObject

if TYPE_CHECKING:
    from policy_server.authoring.testing import Tester
    from policy_server.authoring.verdict import Trial
    from policy_server.builtins.registry import Registry
    from policy_server.engine.policy import Policy
    from policy_server.settings import Settings
    from policy_server.toolkit.toolkit import Toolkit

_STYLES = {"pass": "green", "fail": "bold red", "error": "bold red", "skip": "yellow", "n/a": "yellow"}


class Form(StrEnum):
    """How results are written: for people, for programs, or for CI servers."""

    PRETTY = "pretty"
    JSON = "json"
    JUNIT = "junit"


def run_tests(
    paths: options.Sources,
    run: Annotated[str, typer.Option("--run", "-r", help="Only tests whose full name fits this expression.")] = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what passing tests print, too; on standard error.")
    ] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Tell which lines the tests reach.")] = False,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=100, help="Exit 1 when less than this share of lines is reached, in %.")
    ] = None,
    fail_on_empty: Annotated[bool, typer.Option("--fail-on-empty", help="Exit 1 when there is no test.")] = False,
    dialect: DialectOption = Rego.AUTO,
    form: Annotated[Form, typer.Option("--format", "-f", help="How to write the result.")] = Form.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Run the test rules of Rego files on OPA's interpreter and on WebAssembly.

    The files of a directory are tested together, data.json beside them is their data.
    Exit 1 when a test fails, or the two do not agree.
    """
    from policy_server.authoring.testing import counted, merged
    from policy_server.cli.tools import ready_toolkit, units

    found = list(units(paths))
    settings = options.settings_from(config, state_dir=state_dir)
    toolkit = ready_toolkit(settings)
    _check_expression(toolkit, run)
    wants_coverage = coverage or threshold is not None
    trials, reports, problems = _run_all(_tester(settings, toolkit), found, dialect, run, coverage=wants_coverage)
    report = merged(reports) if wants_coverage else None
    _write(form, trials, report, problems, verbose=verbose)
    share = 100.0 if report is None else cast("float", report["coverage"])
    if threshold is not None and share < threshold:
        output.say(f"policy-server: {share:g} % of the lines are reached, {threshold:g} % are demanded.")
    is_empty = fail_on_empty and not trials
    if is_empty:
        output.say("policy-server: there is no test.")
    if problems or counted(trials)["failed"] or is_empty or (threshold is not None and share < threshold):
        raise typer.Exit(output.NEGATIVE)


def _check_expression(toolkit: "Toolkit", run: str) -> None:
    """Refuse what is no regular expression in OPA's eyes."""
    import msgspec

    if toolkit.builtin("regex.is_valid", [msgspec.json.encode(run)], now_ns=0, seed=0) != b"true":
        raise typer.BadParameter(f"{run} is no regular expression", param_hint="--run")


def _tester(settings: "Settings", toolkit: "Toolkit") -> "Tester":
    from policy_server.authoring.interpreter import Interpreter
    from policy_server.authoring.runtime import Runtime
    from policy_server.authoring.testing import Tester
    from policy_server.cli.tools import functions_of, host_functions
    from policy_server.engine.policy import Policy
    from policy_server.wasm.module import ModuleCache

    modules = ModuleCache(None)

    def load(wasm: bytes, data: bytes | None, registry: "Registry") -> "Policy":
        memory = settings.evaluation_memory
        return Policy.load(wasm, data=data, modules=modules, registry=registry, memory_limit=memory, size=1)

    declarations, host = host_functions(settings, toolkit)
    return Tester(
        Interpreter(toolkit, declarations, host),
        Runtime(toolkit, functions_of(settings, toolkit), load, settings.toolkit_deadline),
    )


def _run_all(
    tester: "Tester", found: Sequence[dict[str, str]], dialect: Rego, run: str, *, coverage: bool
) -> tuple[list["Trial"], list[JsonObject], list[str]]:
    from policy_server.authoring.interpreter import Unit
    from policy_server.cli.tools import read_data

    trials: list[Trial] = []
    reports: list[JsonObject] = []
    problems: list[str] = []
    for modules in found:
        try:
            data = read_data(modules)
            tests, report = either(
                dialect,
                lambda each, modules=modules, data=data: tester.run(  # type: ignore[misc] # it is called at once
                    Unit(modules, data, each), run=run, coverage=coverage
                ),
            )
        except ToolkitError:
            raise
        except PolicyServerError as error:
            output.report(error)
            problems += [str(problem) for problem in error.problems] or [error.message]
            continue
        trials += tests
        reports += [] if report is None else [report]
    return trials, reports, problems


def _write(
    form: Form, trials: Sequence["Trial"], report: JsonObject | None, problems: Sequence[str], *, verbose: bool
) -> None:
    from policy_server.authoring.reports import as_json, as_junit

    if form is Form.JSON:
        output.write_json(as_json(trials, report, problems))
        return
    if form is Form.JUNIT:
        print(as_junit(trials, problems))
        return
    output.write_table(("test", "interpreter", "wasm", "time"), _rows(trials), styles=_STYLES)
    for trial in trials:
        _write_details(trial, verbose=verbose)
    if report is not None:
        write_coverage(report)
    _write_summary(trials)


def _rows(trials: Sequence["Trial"]) -> list[tuple[str, str, str, str]]:
    from policy_server.authoring.reports import shown_time

    rows = []
    for trial in trials:
        where = f"{trial.file}:{trial.row}: {trial.name}"
        spent = shown_time((trial.interpreter.duration_ns, trial.wasm.duration_ns))
        rows.append((where, str(trial.interpreter.status), str(trial.wasm.status), spent))
        if not trial.is_good:
            rows += [(f"{where}/{case.name}", str(case.interpreter), str(case.wasm), "") for case in trial.cases]
    return rows


def _write_details(trial: "Trial", *, verbose: bool) -> None:
    """Tell why a test did not pass, to standard output, and what it printed, to standard error."""
    where = f"{trial.file}:{trial.row}: {trial.name}"
    for place, verdict in (("interpreter", trial.interpreter), ("wasm", trial.wasm)):
        if verdict.reason:
            print(f"{where}: {place}: {verdict.reason}")
    if not trial.agrees:
        print(f"{where}: interpreter and wasm do not agree")
    if trial.is_good and not verbose:
        return
    first, second = trial.interpreter.output, trial.wasm.output
    for line in first:
        output.say(f"{where} printed: {line}")
    if first != second and str(trial.wasm.status) not in {"n/a", "skip"}:
        for line in second:
            output.say(f"{where} printed in wasm: {line}")


def write_coverage(report: JsonObject) -> None:
    """Write which share of each file was reached, and what was not."""
    from policy_server.authoring.testing import missed_rows, percent

    files = cast("dict[str, Json]", report["files"])
    rows = [(name, percent(files[name]), missed_rows(files[name])) for name in sorted(files)]
    output.write_table(("file", "coverage %", "rows not reached"), rows)
    print(f"{report['coverage']} % of the lines are reached")


def _write_summary(trials: Sequence["Trial"]) -> None:
    from policy_server.authoring.testing import counted

    counts = counted(trials)
    others = [
        f"{counts[what]} {words}"
        for what, words in (("skipped", "skipped"), ("unavailable", "not run in wasm"), ("disagreed", "disagree"))
        if counts[what]
    ]
    more = f" ({', '.join(others)})" if others else ""
    print(f"{counts['passed']} of {counts['tests']} Rego tests pass{more}")
