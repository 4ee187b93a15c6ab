"""Runs the command line in this process."""

import io
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.cli.app import run


@pytest.fixture
def command(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return a function that runs a command with its own state directory and nothing of ours in the environment."""
    for name in [name for name in os.environ if name.startswith("POLICY_")]:
        monkeypatch.delenv(name)
    # Nobody is there to answer a question.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("POLICY_STATE_DIR", str(tmp_path / "state"))

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        try:
            run([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def free() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
