"""Works on Rego sources: compile, check, format."""

import difflib
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from policy_server.cli import options, output
from policy_server.model.errors import CompileError, PolicyServerError, SettingsError
from policy_server.model.policy import Dialect

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
        either(dialect, lambda each: toolkit.check(unit, dialect=each, strict=strict, builtins=declarations))

    if failures(found, check_unit):
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
        formatted = either(dialect, lambda each: toolkit.fmt(text, dialect=each, name=str(file)))
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

    failed = failures(files, format_file)
    if failed or (changed and fail):
        raise typer.Exit(output.NEGATIVE)


def either(dialect: Rego, work: Callable[[Dialect], T]) -> T:
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


def failures(items: Iterable[T], work: Callable[[T], None]) -> int:
    """Work on every item, report each error, and return how many there were."""
    count = 0
    for item in items:
        try:
            work(item)
        except PolicyServerError as error:
            output.report(error)
            count += 1
    return count
