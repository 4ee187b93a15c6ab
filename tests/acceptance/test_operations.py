"""A running server and its settings: signals, and files that change behind its back."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import requests
from acceptance_server import Server, wait_until
from database_servers import start_postgresql, stop


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


def test_a_worker_that_comes_up_while_the_store_is_away_waits_for_it(
    new_server: Callable[..., Server], tmp_path: Path
) -> None:
    """The server goes on with the workers that it has, instead of ending with the new one."""
    for directory in (tmp_path, *tmp_path.parents):  # the database has a user of its own, who must get there
        if directory.owner() == Path.home().owner() and directory.stat().st_mode & 0o077 == 0:
            directory.chmod(0o711)
    (tmp_path / "database").mkdir()
    database, port = start_postgresql(tmp_path / "database")
    try:
        server = new_server(storage_url=f"postgresql://postgres@127.0.0.1:{port}/postgres")
        server.start()
        wait_until(lambda: server.log().count("others are at their first use") >= 2, "both workers have loaded")
        assert answers(server)
        stop(database)
        killed, kept = server.workers()

        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: "a new worker waits for the store" in server.log(), "the new worker says what it waits for")
        got = [answers(server) for _ in range(10)]
        assert all(got), (got, server.log()[-3000:])
        assert kept in server.workers()

        ready = server.log().count("catalog is ready")
        database, _ = start_postgresql(tmp_path / "database", port=port)
        wait_until(lambda: server.log().count("catalog is ready") > ready, "the new worker is ready")
        assert server.stop() == 0
    finally:
        stop(database)
