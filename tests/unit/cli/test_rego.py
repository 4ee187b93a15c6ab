"""compile, check, fmt: on real Rego, through the real toolkit."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_ran import Ran

GOOD = """package demo.door

default open := false

open if input.user == "kari"
"""
TESTS = """package demo.door_test

import data.demo.door

test_kari_may_enter if door.open with input as {"user": "kari"}

test_ola_may_not if not door.open with input as {"user": "ola"}
"""
OLD = """package demo.door

default open = false

open { input.user == "kari" }
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with two versions of one policy, which have the same package."""
    for version in ("1.0", "2.0"):
        directory = tmp_path / "rego" / "demo" / "door" / version
        directory.mkdir(parents=True)
        (directory / "policy.rego").write_text(GOOD)
        (directory / "policy_test.rego").write_text(TESTS)
    return tmp_path / "rego"


def test_good_rego_is_checked_in_silence(command: Callable[..., Ran], tree: Path) -> None:
    """Two versions of a policy do not get in each other's way."""
    assert command("check", "--strict", tree) == Ran(0, "", "")


def test_rego_of_the_older_dialect_is_good_too(command: Callable[..., Ran], tree: Path) -> None:
    """The dialect is found out; a fixed one is obeyed."""
    file = tree / "demo" / "door" / "1.0" / "policy.rego"
    file.write_text(OLD)

    assert command("check", file).code == 0
    assert command("check", "--dialect", "v1", file).code == 1


def test_errors_name_file_line_and_column(command: Callable[..., Ran], tree: Path) -> None:
    """Every file is checked, though the first is broken."""
    first, second = sorted(tree.rglob("policy.rego"))
    first.write_text(GOOD + "\nopen if nosuch(1)\n")
    second.write_text("package demo.door\n\nopen if {\n")

    ran = command("check", tree)

    assert ran.code == 1
    assert f"{first}:7:9: " in ran.err
    assert f"{second}:" in ran.err


def test_a_path_that_is_not_there_is_named(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Nothing to check is an error, not a success."""
    ran = command("check", tmp_path / "none")

    assert (ran.code, ran.err) == (
        1,
        f"policy-server: {tmp_path / 'none'} is no Rego file and no directory with Rego files.\n",
    )


def test_files_are_formatted_in_place(command: Callable[..., Ran], tree: Path) -> None:
    """The changed file is named; a second run changes nothing."""
    file = tree / "demo" / "door" / "1.0" / "policy.rego"
    file.write_text(GOOD.replace("open if input", "open   if   input"))

    assert command("fmt", tree) == Ran(0, f"{file}\n", "")
    assert file.read_text() == GOOD
    assert command("fmt", tree) == Ran(0, "", "")


def test_formatting_can_be_demanded(command: Callable[..., Ran], tree: Path) -> None:
    """--fail changes nothing and exits 1; --diff shows what would change."""
    file = tree / "demo" / "door" / "1.0" / "policy.rego"
    untidy = GOOD.replace("open if input", "open   if   input")
    file.write_text(untidy)

    assert command("fmt", "--fail", tree) == Ran(1, f"{file}\n", "")
    ran = command("fmt", "--diff", tree)

    assert ran.code == 0
    assert '-open   if   input.user == "kari"\n+open if input.user == "kari"\n' in ran.out
    assert file.read_text() == untidy


def test_functions_of_the_host_are_known(command: Callable[..., Ran], tree: Path) -> None:
    """external.http.header can be checked."""
    directory = tree / "demo" / "door" / "1.0"
    (directory / "policy_test.rego").write_text(
        'package demo.door_test\n\ntest_no_header if external.http.header("X-None") == ""\n'
    )

    assert command("check", directory).code == 0


def test_a_tree_is_compiled(command: Callable[..., Ran], tree: Path, tmp_path: Path) -> None:
    """Each version becomes a module and a manifest; what has not changed is kept."""
    out = tmp_path / "compiled"

    ran = command("compile", tree, "--output", out)

    assert (ran.code, ran.out) == (0, f"{out}/demo/door/1.0\n{out}/demo/door/2.0\n")
    assert command("compile", tree, "--output", out).out == ""
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "demo/door/1.0/manifest.json",
        "demo/door/1.0/policy.wasm",
        "demo/door/2.0/manifest.json",
        "demo/door/2.0/policy.wasm",
    ]


def test_a_package_that_does_not_fit_its_path_is_refused(
    command: Callable[..., Ran], tree: Path, tmp_path: Path
) -> None:
    """The message names what was found and what the path demands."""
    (tree / "demo" / "door" / "1.0" / "policy.rego").write_text(GOOD.replace("demo.door", "demo.window"))

    ran = command("compile", tree, "--output", tmp_path / "compiled")

    assert ran.code == 1
    assert "demo.window" in ran.err
    assert "demo/door" in ran.err


def test_rego_tests_may_ask_what_the_settings_allow(
    command: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """http.send works in OPA's interpreter, behind the same lists as in the server."""
    file = tmp_path / "ask_test.rego"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        file.write_text(
            f'package demo.ask_test\n\ntest_it if http.send({{"method": "get", "url": "{url}"}}).raw_body == "ok"\n'
        )
        thread = threading.Thread(target=_answer_twice, args=(listener,))
        thread.start()

        refused = command("test", file)
        monkeypatch.setenv("POLICY_HTTP_SEND_HOSTS", "127.0.0.1")
        monkeypatch.setenv("POLICY_ALLOWED_NETWORKS", "127.0.0.1/32")
        allowed = command("test", file)
        thread.join()

    assert refused.code == 1
    assert allowed.code == 0
    assert allowed.out.endswith("1 of 1 Rego tests pass\n")


def _answer_twice(listener: socket.socket) -> None:
    """Answer the interpreter, and then WebAssembly."""
    for _ in range(2):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
