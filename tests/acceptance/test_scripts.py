"""The scripts: what they say when something is missing, and that repeating them is cheap."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "sh", "cat", "dirname", "find", "flock", "mkdir", "sha256sum", "sort", "tail", "xargs", "rm", "touch")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout in which nothing was set up."""
    (tmp_path / "checkout" / "scripts").mkdir(parents=True)
    for name in ("setup", "pins.txt"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "checkout" / "scripts")
    return tmp_path / "checkout"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a directory that is a whole PATH: a shell and its tools, no Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found is not None:
            (directory / name).symlink_to(found)
    return directory


def run(checkout: Path, path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run set-up in a checkout with a PATH of its own."""
    return subprocess.run(
        [checkout / "scripts" / "setup"],
        env={"PATH": str(path), "HOME": str(checkout), **environ},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def pretend(directory: Path, name: str, script: str) -> None:
    """Put a program on the PATH."""
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def test_without_python_setup_says_so(checkout: Path, tools: Path) -> None:
    """One sentence, exit 1, nothing half made."""
    ran = run(checkout, tools)

    assert ran.returncode == 1
    assert ran.stderr == (
        "setup: Python 3.11 or newer is needed, and there is none on PATH (name one with PYTHON=...)\n"
    )
    assert not (checkout / ".venv").exists()


def test_an_old_python_does_not_count(checkout: Path, tools: Path) -> None:
    """A python3 that is too old is passed over."""
    pretend(tools, "python3", "exit 1")

    assert "Python 3.11 or newer is needed" in run(checkout, tools).stderr


def test_a_python_without_venv_is_named(checkout: Path, tools: Path) -> None:
    """Debian ships venv in a package of its own; the sentence names it."""
    pretend(tools, "python3", 'case "$2" in *venv*) exit 1;; esac')

    ran = run(checkout, tools)

    assert ran.returncode == 1
    assert "has no venv module; on Debian and Ubuntu it is in the package python3-venv" in ran.stderr


def test_packages_that_cannot_be_had_are_one_sentence(checkout: Path, tools: Path) -> None:
    """Pip's last words, then what it means and where the rest is."""
    (checkout / "scripts" / "pins.txt").write_text("falcon==4.4.0 \\\n    --hash=sha256:00\n")

    ran = run(checkout, tools, PYTHON=sys.executable, PIP_NO_INDEX="1")

    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("setup: the pinned packages cannot be installed; is the package index reachable?")
    assert (checkout / ".cache" / "setup" / "packages.log").is_file()


def test_repeating_setup_does_nothing() -> None:
    """When nothing has changed it says nothing."""
    subprocess.run([ROOT / "scripts" / "setup"], check=True, capture_output=True)

    done = subprocess.run([ROOT / "scripts" / "setup"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_new_policy_is_a_good_one(tmp_path: Path) -> None:
    """What scripts/new writes is checked strictly, formatted, and its tests pass."""
    subprocess.run([ROOT / "scripts" / "new", "demo/door/1.0", tmp_path], check=True, capture_output=True)
    environ = {**os.environ, "POLICY_STATE_DIR": str(tmp_path / "state")}

    for arguments in (["check", "--strict"], ["fmt", "--fail"], ["test"]):
        command = [sys.executable, "-m", "policy_server", *arguments, str(tmp_path)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["demo", "Demo/door/1.0", "demo/my-door/1.0", "demo/door/../x"])
def test_a_name_that_is_no_package_is_refused(tmp_path: Path, name: str) -> None:
    """Group and name become the Rego package."""
    done = subprocess.run([ROOT / "scripts" / "new", name, tmp_path], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (2, "usage: scripts/new group/name/version [directory]\n")


def test_ci_runs_what_developers_run() -> None:
    """.ci/run is scripts/test."""
    assert 'exec "$(dirname "${BASH_SOURCE[0]}")/../scripts/test"' in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("script", ["setup", "serve", "check", "test", "fmt", "compile", "new"])
def test_scripts_are_bash_that_stops_at_errors(script: str) -> None:
    """Syntax is checked; every script is executable and strict."""
    path = ROOT / "scripts" / script

    subprocess.run(["bash", "-n", path], check=True)

    assert "set -euo pipefail" in path.read_text()
    assert os.access(path, os.X_OK)
