"""Policies that ask other servers, in the assembled program."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from policy_server.assembly import Assembly, assemble
from policy_server.model.decision import Question
from policy_server.model.errors import InvalidSource
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.settings import load_settings

REGO = """package demo.ask

answer := http.send({"method": "get", "url": input.url}).body
"""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Return the address of a server that answers JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"level": 3}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def assembled(tmp_path: Path) -> Iterator[Callable[..., Assembly]]:
    """Return a function that assembles the program with these variables, on a store in memory."""
    made: list[Assembly] = []

    def make(**environ: str) -> Assembly:
        usual = load_settings().cache_dir
        home = {"HOME": str(tmp_path), "POLICY_CACHE_DIR": str(usual), "POLICY_BUNDLED": "off"}
        made.append(assemble(load_settings(environ={**home, "POLICY_STORAGE_URL": "memory:", **environ})))
        return made[-1]

    yield make
    for each in made:
        each.close()


def decide(assembly: Assembly, name: str, url: str) -> tuple[object, tuple[str, ...]]:
    """Publish the policy under a name, ask it, and return result and errors."""
    policy = PolicyId("test", "demo", "ask", name)
    assembly.publisher.publish(PolicySource(policy, REGO), author="test")
    assembly.catalog.sync()
    made = assembly.evaluator.decide(Question(policy, json.dumps({"url": url}).encode()))
    return json.loads(made.result or b"null"), made.errors


def test_listed_policies_reach_listed_hosts(assembled: Callable[..., Assembly], elsewhere: str) -> None:
    """One installation, one list of hosts; a policy that is taken out hears why, and goes on."""
    assembly = assembled(
        POLICY_HTTP_SEND_HOSTS="127.0.0.1",
        POLICY_ALLOWED_NETWORKS="127.0.0.1/32",
        POLICY_HTTP_SEND_POLICIES="*, !test/demo/ask/2.0",
    )

    first, second = decide(assembly, "1.0", elsewhere), decide(assembly, "2.0", elsewhere)

    assert first == ({"answer": {"level": 3}}, ())
    assert second[0] == {}
    assert "POLICY_HTTP_SEND_POLICIES does not allow this policy" in second[1][0]


def test_nothing_is_reached_by_default(assembled: Callable[..., Assembly], elsewhere: str) -> None:
    """A policy may be published that asks; whom it may ask is the operator's list."""
    result, errors = decide(assembled(), "1.0", elsewhere)

    assert result == {}
    assert "POLICY_HTTP_SEND_HOSTS does not list it" in errors[0]


def test_switched_off_it_is_refused_at_publishing(assembled: Callable[..., Assembly], elsewhere: str) -> None:
    """With the place in the source."""
    with pytest.raises(Exception, match=r"3:11: .*http\.send") as caught:
        decide(assembled(POLICY_HTTP_SEND="off"), "1.0", elsewhere)

    assert not isinstance(caught.value, InvalidSource)
