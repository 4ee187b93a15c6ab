"""Commands and the functions beyond OPA's."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_ran import Ran
from neighbours_server import Neighbours

KEEPING = """package demo.keeping

kept if {
	storage.set("k", {"a": 1}) == null
	storage.get("k").a == 1
}

made := task.create("x", {"b": [1, 2], "a": 1}).taskID
"""


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    """All neighbours."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy directory."""
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "policy.rego").write_text(KEEPING)
    return directory


def test_trying_a_policy_leaves_the_store_alone(
    command: Callable[..., Ran], policy: Path, neighbours: Neighbours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it keeps is forgotten at the end; no store is even made."""
    monkeypatch.setenv("TASK_ADDR", neighbours.url)

    ran = command("eval", policy)

    assert json.loads(ran.out)["kept"] is True
    assert not (tmp_path / "state").exists()


def test_an_explanation_makes_others_do_things_once(
    command: Callable[..., Ran], policy: Path, neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both runtimes are asked and agree; the task service hears of it once."""
    monkeypatch.setenv("TASK_ADDR", neighbours.url)

    ran = command("eval", policy, "--explain", "full")

    assert ran.code == 0
    assert "task.create" in ran.err
    assert [each.path for each in neighbours.requests] == ["/v1/task/x"]


def test_functions_may_be_replaced_in_tests(
    command: Callable[..., Ran], tmp_path: Path, neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both runtimes, and nobody is asked."""
    monkeypatch.setenv("DID_RESOLVER_ADDR", neighbours.url)
    (tmp_path / "p.rego").write_text('package demo.p\n\nfound := did.resolve("did:x:y").id\n')
    (tmp_path / "p_test.rego").write_text(
        'package demo.p_test\n\nimport data.demo.p\n\nfake(_) := {"id": 7}\n\n'
        "test_found if p.found == 7 with did.resolve as fake\n"
    )

    ran = command("test", tmp_path)

    assert (ran.code, neighbours.requests) == (0, []), ran.out + ran.err


def test_a_server_does_not_start_with_functions_that_cannot_be_made(
    command: Callable[..., Ran], tmp_path: Path
) -> None:
    """Better now than in a call."""
    file = tmp_path / "functions.toml"
    file.write_text('[function."storage.get"]\nurl = "https://example.com/"\n')

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    ran = command("serve", "--port", port, "--set", f"functions={file}")

    assert ran.code == 3
    assert "two functions called storage.get" in ran.err
