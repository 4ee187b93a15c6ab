"""Works on Rego sources: compile, check, format, test."""

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar, cast

import typer

from policy_server.cli import options, output
from policy_server.model.errors import CompileError, PolicyServerError, SettingsError
from policy_server.model.policy import Dialect
from policy_server.model.values import JsonObject

T = TypeVar("T")


class Rego(StrEnum):
    """Which Rego; auto tries v1, then v0."""

    AUTO = "auto"
    V1 = "v1"
    V0 = "v0"


DialectOption = Annotated[Rego, typer.Option("--dialect", help="Which Rego; auto tries v1, then v0.")]


def compile_(
    source: Annotated[Path, typer.Argument(help="A directory of group/policy/version/policy.rego.")],
    target: Annotated[Path, typer.Option("--output", "-o", help="Where the compiled policies go.")] = Path("compiled"),
    dialect: DialectOption = Rego.AUTO,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Compile a tree of policies to WebAssembly."""
    from policy_server.cli.tools import ready_toolkit, rego_compiler
    from policy_server.compiler.tree import compile_tree

    if not source.is_dir():
        raise SettingsError(f"{source} is not a directory")
    settings = options.settings_from(config, state_dir=state_dir)
    compiler = rego_compiler(settings, ready_toolkit(settings))
    for name in compile_tree(source, target, compiler, dialect=Dialect(dialect)).compiled:
        print(target / name)


def check(
    paths: options.Sources,
    strict: Annotated[bool, typer.Option("--strict", help="Also refuse what is merely doubtful.")] = False,
    dialect: DialectOption = Rego.AUTO,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Parse and type-check Rego files."""
    from policy_server.builtins.registry import Registry
    from policy_server.cli.tools import ready_toolkit, units

    found = list(units(paths))
    toolkit = ready_toolkit(options.settings_from(config, state_dir=state_dir))
    declarations = Registry.discover().declarations()

    def check_unit(unit: dict[str, str]) -> None:
        _either(dialect, lambda each: toolkit.check(unit, dialect=each, strict=strict, builtins=declarations))

    if _failures(found, check_unit):
        raise typer.Exit(output.NEGATIVE)


def fmt(
    paths: options.Sources,
    fail: Annotated[bool, typer.Option("--fail", help="Change nothing; exit 1 when a file is not formatted.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Change nothing; print what would change.")] = False,
    dialect: DialectOption = Rego.AUTO,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Format Rego files in place."""
    from policy_server.cli.tools import read_text, ready_toolkit, rego_files

    files = rego_files(paths)
    toolkit = ready_toolkit(options.settings_from(config, state_dir=state_dir))
    changed = []

    def format_file(file: Path) -> None:
        text = read_text(file)
        formatted = _either(dialect, lambda each: toolkit.fmt(text, dialect=each, name=str(file)))
        if formatted == text:
            return
        changed.append(file)
        if diff:
            lines = (text.splitlines(keepends=True), formatted.splitlines(keepends=True))
            sys.stdout.writelines(difflib.unified_diff(*lines, str(file), f"{file} (formatted)"))
        elif not fail:
            file.write_text(formatted, encoding="utf-8")
        if not diff:
            print(file)

    failures = _failures(files, format_file)
    if failures or (changed and fail):
        raise typer.Exit(output.NEGATIVE)


def run_tests(
    paths: options.Sources,
    run: Annotated[str, typer.Option("--run", "-r", help="Only tests whose name fits this expression.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name the tests that pass, too.")] = False,
    dialect: DialectOption = Rego.AUTO,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Run the test rules of Rego files; data.json beside them is their data."""
    from policy_server.cli.tools import host_functions, read_data, ready_toolkit, units

    found = list(units(paths))
    settings = options.settings_from(config, state_dir=state_dir)
    toolkit = ready_toolkit(settings)
    declarations, host = host_functions(settings, toolkit)
    results: list[JsonObject] = []

    def test_unit(unit: dict[str, str]) -> None:
        ask = partial(toolkit.test, unit, data=read_data(unit), run=run, builtins=declarations, host=host)
        answer = cast(JsonObject, _either(dialect, lambda each: ask(dialect=each)))
        results.extend(cast(Sequence[JsonObject], answer["results"]))

    failures = _failures(found, test_unit)
    bad = [result for result in results if result["status"] not in {"pass", "skip"}]
    if form is options.Format.JSON:
        output.write_json(results)
    else:
        for result in results if verbose else bad:
            _write_result(result)
        print(f"{len(results) - len(bad)} of {len(results)} Rego tests pass")
    if failures or bad:
        raise typer.Exit(output.NEGATIVE)


def _write_result(result: JsonObject) -> None:
    print(f"{result['file']}:{result['row']}: {result['name']}: {result['status']}")
    for line in str(result.get("output") or "").splitlines():
        print(f"    {line}")


def _either(dialect: Rego, work: Callable[[Dialect], T]) -> T:
    """Work in a dialect; auto tries v1, then v0, and reports v1's errors when both fail."""
    if dialect is not Rego.AUTO:
        return work(Dialect(dialect))
    try:
        return work(Dialect.V1)
    except CompileError as error:
        try:
            return work(Dialect.V0)
        except CompileError:
            raise error from None


def _failures(items: Iterable[T], work: Callable[[T], None]) -> int:
    """Work on every item, report each error, and return how many there were."""
    failures = 0
    for item in items:
        try:
            work(item)
        except PolicyServerError as error:
            output.report(error)
            failures += 1
    return failures
