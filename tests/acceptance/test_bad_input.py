"""What goes wrong gets a clear error, and the server keeps serving."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from acceptance_server import ROOT, Server, free_port, wait_until

SERVE = [sys.executable, "-P", "-m", "policy_server", "serve"]
PRESENT = "/policy/bundled/pexip/service/1.0/evaluation"
MISSING = "/policy/demo/g/missing/1.0/evaluation"

ENDLESS = """package g.endless

many := numbers.range(1, 9999)

# It allocates nothing, so that the memory limit never comes first.
x if {
	some zero in [0, -1]
	some _ in many
	some _ in many
	some each in many
	each == zero
}
"""
HUNGRY = """package g.hungry

x := [s | some i in numbers.range(1, 3000000); s := concat("", ["abcdefghij", format_int(i, 10)])]
"""


def pexip_answers(server: Server) -> bool:
    """Tell whether the path that must never break works."""
    address = f"{server.url}/policy/v1/service/configuration?local_alias=my-vmr-1&call_direction=dial_in"
    return bool(requests.get(address, timeout=5).json()["status"] == "success")


def listed_error(server: Server, name: str) -> str:
    """Wait until the newest source of a policy has failed and return why."""
    wait_until(lambda: server.show(name).get("error") is not None, f"{name} fails")
    return str(server.show(name)["error"])


@pytest.mark.parametrize(
    ("name", "rego", "files", "said"),
    [
        ("syntax", "package g.syntax\n\nallow := }\n", {}, "policy.rego:3"),
        ("unknown_function", "package g.unknown_function\n\nx := no.such(1)\n", {}, "no.such"),
        ("wrong_package", "package g.other\n\nx := 1\n", {}, "g.wrong_package"),
        ("bad_data", "package g.bad_data\n\nx := 1\n", {"data": "[1]"}, "data.json"),
        ("bad_schema", "package g.bad_schema\n\nx := 1\n", {"output_schema": '{"type": 5}'}, "output-schema.json"),
        ("bad_config", "package g.bad_config\n\nx := 1\n", {"data_config": '{"url": "x"}'}, "data-config.json"),
    ],
)
def test_a_source_that_does_not_fit_is_listed_with_its_error(
    server: Server, name: str, rego: str, files: dict[str, str], said: str
) -> None:
    """The error names what is wrong and where; the server goes on."""
    server.write(name, rego, **files)

    assert said in listed_error(server, name)
    assert server.ask(name).status_code == 500
    assert pexip_answers(server)


def test_an_unknown_policy_is_404(server: Server) -> None:
    """In the shape of the policy service."""
    reply = requests.post(server.url + MISSING, timeout=5)

    assert reply.status_code == 404
    assert reply.json()["kind"] == 5


def test_a_body_that_is_not_json_is_400(server: Server) -> None:
    """Also when the policy exists."""
    reply = requests.post(server.url + PRESENT, data="{nope", timeout=5)

    assert reply.status_code == 400
    assert reply.json()["kind"] == 1


def test_a_body_of_50_mb_is_413(server: Server) -> None:
    """It is refused without being read; the connection may break while it is being sent."""
    try:
        reply = requests.post(server.url + PRESENT, data=b" " * (50 << 20), timeout=30)
    except requests.ConnectionError:
        pass
    else:
        assert reply.status_code == 413
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        head = (
            "POST /policy/bundled/pexip/service/1.0/evaluation HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n\r\n"
        )
        client.sendall(head.encode())
        assert b" 413 " in client.recv(4096)
    assert pexip_answers(server)


def test_a_header_of_1_mb_is_431(server: Server) -> None:
    """The answer is a problem document."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: ")
        try:
            client.sendall(b"a" * (1 << 20) + b"\r\n\r\n")
            said = client.recv(4096)
        except ConnectionError:
            said = b""
    assert said == b"" or b" 431 " in said
    assert pexip_answers(server)


def test_invalid_utf8_in_a_query_is_answered(server: Server) -> None:
    """Pexip never gets a 4xx for what a caller's device sent."""
    address = f"{server.url}/policy/v1/service/configuration?local_alias=my-vmr-%FF%FE&remote_display_name=%C3%28"

    assert requests.get(address, timeout=5).json()["status"] == "success"


def test_an_endless_policy_ends_at_its_deadline(server: Server) -> None:
    """The caller gets an error, the worker lives, others are answered meanwhile."""
    server.write("endless", ENDLESS)
    wait_until(lambda: server.show("endless").get("state") == "ready", "the policy is there")
    workers = server.workers()

    reply = server.ask("endless")

    assert reply.status_code == 500
    assert "id" in reply.json()
    assert "did not finish before its deadline" in server.log()
    assert pexip_answers(server)
    assert server.workers() == workers


def test_a_policy_that_eats_memory_is_stopped(server: Server) -> None:
    """The caller gets an error, the worker lives."""
    server.write("hungry", HUNGRY)
    wait_until(lambda: server.show("hungry").get("state") == "ready", "the policy is there")
    workers = server.workers()

    reply = server.ask("hungry")

    assert reply.status_code == 500
    assert "needed more memory than it may use" in server.log()
    assert pexip_answers(server)
    assert server.workers() == workers


STEPS = "\n".join(f"\tx{i} = x{i + 1} + 1" for i in range(20_000))
MANY = ",".join(f'"{i:0100}"' for i in range(30_000))


@pytest.mark.parametrize(
    ("rule", "limits", "said"),
    [
        (f"x if {{\n{STEPS}\n\tx20000 = 1\n}}\n", {"toolkit_deadline": "2s"}, "did not finish within 2 seconds"),
        (f"x := [{MANY}]\n", {"toolkit_memory": str(64 << 20)}, "more than the 64 MiB"),
    ],
    ids=["minutes", "gigabytes"],
)
def test_rego_that_takes_the_compiler_too_much_is_listed_with_its_limit(
    new_server: Callable[..., Server], rule: str, limits: dict[str, str], said: str
) -> None:
    """It is cut short, the error says how much there was, and others are answered meanwhile."""
    server = new_server(**limits)
    server.start()

    server.write("large", f"package g.large\n\n{rule}")

    assert pexip_answers(server)
    assert said in listed_error(server, "large")
    assert server.ask("large").status_code == 500
    assert pexip_answers(server)


def test_a_port_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    """The sentence names the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*SERVE, "--port", str(port), "--state-dir", str(tmp_path / "state")],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip

    assert ended.returncode == 3
    assert f"port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_state_directory_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    """A file stands where the directory should be; root may write everywhere else."""
    (tmp_path / "file").write_text("")

    ended = subprocess.run(
        [*SERVE, "--port", str(free_port()), "--state-dir", str(tmp_path / "file" / "state")],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 3
    assert str(tmp_path / "file" / "state") in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("wrong", ["missing", "garbage"])
def test_a_missing_or_wrong_toolkit_stops_only_compiling(
    tmp_path: Path, new_server: Callable[..., Server], wrong: str
) -> None:
    """Bundled policies answer; a new policy is listed with what to do about the toolkit."""
    toolkit = tmp_path / "opa-toolkit.wasm"
    if wrong == "garbage":
        toolkit.write_bytes(b"\0asm but not really")
    server = new_server(toolkit=str(toolkit))
    server.start()

    server.write("late", "package g.late\n\nx := 1\n")

    assert pexip_answers(server)
    wait_until(lambda: "toolkit" in server.log(), "the log says why")
    assert server.ask("late").status_code in {404, 500}
