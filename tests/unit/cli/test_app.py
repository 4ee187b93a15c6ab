"""The command line as a whole: help, versions, exit codes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.cli.output import exit_code
from policy_server.model.errors import (
    AlreadyLocked,
    CompileError,
    FetchError,
    PolicyNotFound,
    PolicyServerError,
    SettingsError,
    StoreUnavailable,
    ToolkitMissing,
)
from policy_server.version import VERSION


def test_help_lists_every_command(command: Callable[..., Ran]) -> None:
    """Help names all families of commands."""
    ran = command("--help")

    names = ["serve", "compile", "check", "fmt", "test", "eval", "simulate", "policies"]
    names += ["db", "seed", "reset", "toolkit", "doctor", "config", "version"]
    assert ran.code == 0
    assert [name for name in names if f" {name} " not in ran.out] == []


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_the_version_is_printed(command: Callable[..., Ran], asked: str) -> None:
    """The command and the option say the same."""
    assert command(asked) == Ran(0, f"{VERSION}\n", "")


def test_a_command_line_that_cannot_be_understood_exits_with_2(command: Callable[..., Ran]) -> None:
    """Usage errors have their own exit code."""
    assert command("serve", "--prot", "80").code == 2


def test_settings_that_cannot_be_used_exit_with_3(command: Callable[..., Ran]) -> None:
    """One sentence on standard error, nothing on standard output, no traceback."""
    ran = command("config", "show", "--set", "prot=80")

    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "policy-server: prot is no setting; did you mean port?\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(), 3),
        (ToolkitMissing(), 3),
        (StoreUnavailable(), 4),
        (FetchError(), 4),
        (AlreadyLocked(), 5),
        (CompileError(), 1),
        (PolicyNotFound(), 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error: PolicyServerError, code: int) -> None:
    """Scripts can tell failures apart."""
    assert exit_code(error) == code


def test_help_imports_no_heavy_library() -> None:
    """The libraries that only some commands need are not loaded for help."""
    heavy = "wasmtime falcon sqlalchemy alembic structlog PIL requests jsonschema_rs prometheus_client"
    program = (
        "import sys\nfrom policy_server.cli.app import run\n"
        "try:\n    run(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())

    assert done.stderr == "[]\n"


def test_the_module_can_be_run() -> None:
    """`python -m policy_server` is the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "policy_server", "version"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, f"{VERSION}\n")
