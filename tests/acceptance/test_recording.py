"""Decisions of a real server with several workers, to every sink at once."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import requests
from acceptance_server import ROOT, Server, wait_until

REGO = "package g.echo\n\nseen := input\n"


def lines(path: Path) -> list[dict]:
    """Return the records in a file of JSON lines, or in the log."""
    found = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [each for each in found if "decision_id" in each and each.get("logger", "decision") == "decision"]


def test_no_decision_is_lost_by_a_reload_or_a_stop(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """Workers are replaced and then stopped; each decision is in the file, in the log, and in the store."""
    file = tmp_path / "decisions.jsonl"
    server = new_server(decision_log=f"log,store,file:{file}")
    server.write("echo", REGO)
    server.start()
    wait_until(lambda: server.ask("echo").status_code == 200, "echo")
    before = len(server.workers())
    asked = set()
    for number in range(60):
        answer = server.ask("echo", {"n": number, "pin": "918273"}, headers={"X-Evaluation-Id": f"d{number}"})
        asked.add(answer.headers["etag"])
        if number == 30:
            assert server.process is not None
            workers = set(server.workers())
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda old=workers: not old & set(server.workers()), "the workers were replaced")

    page = requests.get(f"{server.url}/metrics", timeout=10).text
    assert server.stop() == 0

    assert before == 2
    assert "policy_decision_log_records_total" in page
    for place in (file, tmp_path / "server.log"):
        assert asked <= {each["decision_id"] for each in lines(place)}, place
        assert "918273" not in place.read_text()
    command = [sys.executable, "-P", "-m", "policy_server", "decisions", "list", "--limit", "200", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=server.environ(), capture_output=True, text=True, check=True)
    assert asked <= {each["decision_id"] for each in json.loads(done.stdout)}


def test_a_stop_does_not_wait_for_a_server_that_is_away(new_server: Callable[..., Server]) -> None:
    """Where decisions go is no reason not to end."""
    server = new_server(decision_log="http://127.0.0.1:9/opa")
    server.write("echo", REGO)
    server.start()
    wait_until(lambda: server.ask("echo").status_code == 200, "echo")

    assert server.stop() == 0
    assert "records of decisions were not written before the stop" in server.log()
