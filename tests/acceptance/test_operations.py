"""A running server and its settings: signals, and files that change behind its back."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import requests
from acceptance_server import Server, wait_until


def start(new_server: Callable[..., Server], file: Path, text: str) -> Server:
    """Start a server that reads a configuration file."""
    file.write_text(text)
    server = new_server(config_file=str(file))
    server.start()
    return server


def answers(server: Server) -> bool:
    """Tell whether the server answers a Pexip request."""
    address = f"{server.url}/policy/v1/service/configuration"
    return requests.get(address, params={"local_alias": "my-vmr-kari"}, timeout=10).status_code == 200


def test_settings_are_read_again_on_hup(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """Workers are replaced by ones with the new settings."""
    server = start(new_server, tmp_path / "policy.toml", "pexip_service_enabled = true\n")
    before = server.workers()
    assert answers(server)

    (tmp_path / "policy.toml").write_text("pexip_service_enabled = false\n")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)

    wait_until(lambda: not set(before) & set(server.workers()), "the old workers have gone")
    wait_until(lambda: not answers(server), "service requests are switched off")
    assert server.stop() == 0


def test_broken_settings_do_not_end_a_running_server(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """On HUP the old ones stay in force; a worker that has to be replaced comes up with them."""
    server = start(new_server, tmp_path / "policy.toml", "threads = 2\n")
    before = server.workers()

    (tmp_path / "policy.toml").write_text("thread = 2\n")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old settings stay in force" in server.log(), "the refusal is logged")
    wait_until(lambda: len(server.workers()) == 2 and not set(before) & set(server.workers()), "new workers")
    killed = server.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 2 and killed not in server.workers(), "another worker")

    assert "thread, which is no setting; did you mean threads?" in server.log()
    assert all(answers(server) for _ in range(20))
    assert server.stop() == 0
