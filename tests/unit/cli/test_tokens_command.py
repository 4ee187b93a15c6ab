"""Tokens from the command line, on a real store and on a server that asks for them."""

import getpass
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cli_ran import Ran

from policy_server.assembly import assemble
from policy_server.cli import serve
from policy_server.settings import load_settings


class QuietHandler(WSGIRequestHandler):
    """Says nothing about requests."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A server on the state directory of the commands that asks for tokens; its address."""
    assembly = assemble(
        load_settings(
            environ={"POLICY_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)},
            overrides={"auth_enabled": True},
        )
    )
    server = make_server("127.0.0.1", 0, assembly.app(), handler_class=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    assembly.close()


def test_a_token_is_made_listed_and_revoked_here(command: Callable[..., Ran]) -> None:
    """The token alone goes to standard output; the list does not have it."""
    command("db", "upgrade")

    made = command("tokens", "create", "ci", "--scope", "evaluate", "--scope", "read:mine", "--expires", "never")
    token = made.out.strip()
    [line] = [line.split("\t") for line in command("tokens", "list").out.splitlines()]
    revoked = command("tokens", "revoke", line[0])
    [view] = json.loads(command("tokens", "list", "--format", "json").out)

    assert made.code == 0
    assert token.startswith("pst_")
    assert line[1:] == ["ci", "evaluate read:mine", "", "", ""]
    assert revoked == Ran(0, "", f"{line[0]} is revoked\n")
    assert view["revoked_at"] is not None
    assert view["created_by"] == f"cli:{getpass.getuser()}"
    assert token not in json.dumps(view)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["create", "x", "--scope", "reed"], 1, "no scope"),
        (["create", "x", "--scope", "read", "--expires", "soon"], 1, "90d, 12h or never"),
        (["create", "x", "--scope", "read", "--expires", "9999d"], 1, "3660 days"),
        (["create", "x"], 2, "--scope"),
        (["revoke", "unknown"], 1, "no token unknown"),
    ],
)
def test_mistakes_are_one_clear_sentence(
    command: Callable[..., Ran], arguments: list[str], code: int, word: str
) -> None:
    """With the exit codes of all commands."""
    command("db", "upgrade")

    ran = command("tokens", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert word in ran.err


def test_commands_show_their_token_to_a_server(
    command: Callable[..., Ran], guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By flag or variable; without one, or without the role, exit code 4."""
    command("seed")
    token = command("tokens", "create", "reader", "--scope", "read", "--expires", "1h").out.strip()
    names = ["policies", "list", "--server", guarded]

    without = command(*names)
    shown = command(*names, "--token", token)
    lock = command("policies", "lock", "bundled/pexip/service/1.0", "--server", guarded, "--token", token)
    monkeypatch.setenv("POLICY_TOKEN", token)
    by_variable = command(*names)
    odd = command(*names, "--token", "a\nb")

    assert (without.code, "no credentials" in without.err) == (4, True)
    assert (shown.code, by_variable.code, len(shown.out.splitlines())) == (0, 0, 6)
    assert (lock.code, "needs the role publish" in lock.err) == (4, True)
    assert (odd.code, "a\nb" in odd.err) == (4, False)


def test_a_server_for_others_asks_who_they_are_or_does_not_start(
    command: Callable[..., Ran], free: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One sentence and exit code 3; with authentication the first start says where the token is, and not the token."""
    monkeypatch.setattr(serve, "become_gunicorn", lambda *_: None)
    started = ("serve", "--host", "0.0.0.0", "--port", free)

    refused = command(*started)
    assert (refused.code, refused.err.count("\n")) == (3, 1)
    assert not (tmp_path / "state").exists()

    monkeypatch.setenv("POLICY_AUTH_ENABLED", "true")
    first, second = command(*started), command(*started)
    file = tmp_path / "state" / "admin-token"
    assert str(file) in first.err
    assert file.read_text().strip() not in first.err
    assert "Authorization: Bearer $POLICY_TOKEN" in first.err
    assert str(file) not in second.err
