"""What `serve` finds out before it starts, and doctor."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_ran import Ran

from policy_server.cli import serve
from policy_server.cli.master import Master


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_port_in_use_is_one_clear_sentence(command: Callable[..., Ran], taken: int) -> None:
    """The port is named, and what can be done."""
    ran = command("serve", "--port", taken)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        f"policy-server: port {taken} is in use; stop the program that has it, or choose another with --port\n"
    )


def test_an_address_of_another_machine_is_refused(command: Callable[..., Ran], free: int) -> None:
    """Listening needs an address of this machine."""
    ran = command("serve", "--host", "192.0.2.1", "--allow-anonymous", "--port", free)

    assert ran.code == 3
    assert ran.err.startswith(f"policy-server: 192.0.2.1:{free} cannot be listened on: ")


def test_a_state_directory_that_cannot_be_made_is_one_clear_sentence(
    command: Callable[..., Ran], tmp_path: Path
) -> None:
    """The directory is named, and what can be done."""
    (tmp_path / "file").write_text("")

    ran = command("serve", "--state-dir", tmp_path / "file" / "state")

    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "cannot be written (Not a directory); choose another with --state-dir" in ran.err


def test_a_broken_database_is_one_clear_sentence(command: Callable[..., Ran], free: int, tmp_path: Path) -> None:
    """A file that is no database is left as it is."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "policies.db").write_text("this is no database" * 100)

    ran = command("serve", "--port", free)

    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "policies.db cannot be used: " in ran.err
    assert (tmp_path / "state" / "policies.db").read_text().startswith("this is no database")


def test_gunicorn_gets_the_flags_as_variables(
    command: Callable[..., Ran], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers read the environment; running gunicorn never returns, so the test stands in for it."""
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(Master, "run", lambda _self: started.append((sys.argv, dict(os.environ))))
    monkeypatch.setattr(Master, "do_load_config", lambda _self: None)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    file = tmp_path / "policy.toml"
    file.write_text("threads = 3\n")

    ran = command(
        "serve", "--port", free, "--config", file, "--workers", 3, "--folder", "a=/srv/a", "--folder", "b=/srv/b",
        "--set", "evaluation_deadline=1s",
    )  # fmt: skip

    [(argv, environ)] = started
    assert argv[1:] == ["--config", str(Path(serve.__file__).parent.parent / "gunicorn_conf.py")]
    assert {name: value for name, value in environ.items() if name.startswith("POLICY_")} == {
        "POLICY_STATE_DIR": str(tmp_path / "state"),
        "POLICY_CONFIG_FILE": str(file),
        "POLICY_PORT": str(free),
        "POLICY_WORKERS": "3",
        "POLICY_FOLDERS": "a=/srv/a,b=/srv/b",
        "POLICY_EVALUATION_DEADLINE": "1s",
    }
    assert f"http://127.0.0.1:{free}/policy/v1/service/configuration?local_alias=my-vmr-kari" in ran.err


def test_listening_everywhere_without_a_password_is_pointed_out(
    command: Callable[..., Ran], free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All routes are open to all who reach them, Pexip's and the others."""
    monkeypatch.setattr(serve, "become_gunicorn", lambda *_: None)

    told = command("serve", "--host", "0.0.0.0", "--allow-anonymous", "--port", free).err

    assert told.count("warning: everybody who reaches") == 2
    assert "warning:" not in command("serve", "--port", free).err


def test_doctor_looks_at_everything(command: Callable[..., Ran], free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well but for the server, which does not run."""
    monkeypatch.setenv("POLICY_PORT", str(free))

    ran = command("doctor", "--format", "json")

    found = {each["what"]: each["verdict"] for each in json.loads(ran.out)}
    assert ran.code == 0
    assert found == {
        "python": "ok",
        "state directory": "ok",
        "store": "ok",
        "bundled policies": "ok",
        "toolkit": "ok",
        "engine": "ok",
        "server": "warn",
    }


def test_doctor_knows_what_is_missing(command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the toolkit the server still answers: a warning that names the file."""
    monkeypatch.setenv("POLICY_TOOLKIT", "/none/opa-toolkit.wasm")

    lines = [line.split("\t") for line in command("doctor").out.splitlines()]

    [[verdict, _, detail]] = [line for line in lines if line[1] == "toolkit"]
    assert (verdict, "/none/opa-toolkit.wasm" in detail) == ("warn", True)


def test_a_health_check_fails_while_nothing_listens(command: Callable[..., Ran], free: int) -> None:
    """Doctor --quick is the container's health check."""
    assert command("doctor", "--quick", "--url", f"http://127.0.0.1:{free}").code == 1
