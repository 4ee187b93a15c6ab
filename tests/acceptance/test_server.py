"""What the people who use the server would notice."""

import json
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
from acceptance_server import Server, free_port, wait_until
from pytest_httpserver import HTTPServer

ALLOW = 'package g.{name}\n\nallow if input.user == data.user\n\nwho := external.http.header("x-user")\n'


def test_a_pexip_request_gets_its_answer(server: Server) -> None:
    """The sample rule book gives rooms starting with my-vmr- the PIN 2931."""
    query = "call_direction=dial_in&protocol=sip&local_alias=sip:my-vmr-kari@example.com&remote_alias=a@b.example"

    reply = requests.get(f"{server.url}/pexip/policy/v1/service/configuration?{query}", timeout=5)

    answer = reply.json()
    assert reply.status_code == 200
    assert answer["status"] == "success"
    assert answer["result"]["pin"] == "2931"
    assert answer["result"]["service_type"] == "conference"
    assert answer["decision_id"]


def test_a_policy_in_a_folder_is_evaluated(server: Server) -> None:
    """A file in the folder becomes a policy, with its data and the request's headers."""
    server.write("allow", ALLOW.format(name="allow"), data={"user": "alice"})

    wait_until(lambda: server.ask("allow", {}).status_code == 200, "the policy answers")
    reply = server.ask("allow", {"user": "alice"}, headers={"X-User": "bob"})

    assert reply.json() == {"allow": True, "who": "bob"}
    assert reply.headers["etag"]


def test_an_edit_answers_within_a_moment_and_never_half(server: Server) -> None:
    """While a policy is edited every request is answered by the old or the new one."""
    server.write("edit", "package g.edit\n\nn := 1\n\nm := 1\n")
    wait_until(lambda: server.ask("edit").status_code == 200, "the policy answers")

    with ThreadPoolExecutor(4) as asking:
        asked = [asking.submit(server.ask, "edit") for _ in range(200)]
        server.write("edit", "package g.edit\n\nn := 2\n\nm := 2\n")
        answers = [each.result() for each in asked]
    wait_until(lambda: all(server.ask("edit").json()["n"] == 2 for _ in range(8)), "all workers answer the new one")

    assert {reply.status_code for reply in answers} == {200}
    assert all(reply.json()["n"] == reply.json()["m"] for reply in answers)


def test_a_broken_edit_leaves_the_last_good_revision(server: Server) -> None:
    """The broken source is listed with its error, file and line; the old one goes on answering."""
    server.write("broken", "package g.broken\n\nn := 1\n")
    wait_until(lambda: server.ask("broken").status_code == 200, "the policy answers")

    server.write("broken", "package g.broken\n\nn := }\n")
    wait_until(lambda: server.show("broken")["state"] == "stale", "the failure is listed")

    assert server.ask("broken").json() == {"n": 1}
    assert "policy.rego:3" in json.dumps(server.show("broken")["error"])


def test_a_lock_counts_in_every_worker_at_once(server: Server) -> None:
    """No evaluation that begins after the answer to the lock is let through."""
    server.write("locked", "package g.locked\n\nn := 1\n")
    wait_until(lambda: server.ask("locked").status_code == 200, "the policy answers")
    lock = f"{server.url}/policy/demo/g/locked/1.0/lock"

    for _ in range(20):
        assert requests.post(lock, timeout=10).status_code == 200
        assert {server.ask("locked").status_code for _ in range(6)} == {403}
        assert requests.delete(lock, timeout=10).status_code == 200
        assert {server.ask("locked").status_code for _ in range(6)} == {200}


def test_data_is_fetched_on_schedule_by_one_worker(new_server: Callable[..., Server], httpserver: HTTPServer) -> None:
    """A data-config is fetched, and every worker answers with the new data."""
    server = new_server(allowed_networks="127.0.0.1/32", refresh_poll="0.1s")
    httpserver.expect_ordered_request("/users").respond_with_json({"user": "alice"})
    httpserver.expect_request("/users").respond_with_data('{"user": "bob"}', content_type="application/json")
    server.start()
    server.write(
        "fetched",
        "package g.fetched\n\nuser := data.user\n",
        data_config={"url": httpserver.url_for("/users"), "method": "GET", "period": "1s"},
    )

    wait_until(lambda: all(server.ask("fetched").json().get("user") == "bob" for _ in range(8)), "the data is new")

    refresh = server.show("fetched")["refresh"]
    assert isinstance(refresh, dict)
    assert refresh["error"] is None
    assert refresh["size"] == len(b'{"user": "bob"}')


def test_nothing_acknowledged_is_lost_by_kill(new_server: Callable[..., Server]) -> None:
    """After the whole server was killed, revisions and locks are there as they were acknowledged."""
    server = new_server()
    server.start()
    server.write("kept", "package g.kept\n\nn := 1\n")
    wait_until(lambda: server.ask("kept").status_code == 200, "the policy answers")
    assert requests.post(f"{server.url}/policy/demo/g/kept/1.0/lock", timeout=10).status_code == 200

    workers = server.workers()
    server.stop(signal.SIGKILL)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    server.start()

    assert server.ask("kept").status_code == 403
    assert server.show("kept")["locked"] is True
    assert server.show("kept")["revision"] == 1


def test_a_killed_worker_is_replaced_and_nobody_notices_for_long(new_server: Callable[..., Server]) -> None:
    """The other worker answers, background work moves over, a new worker comes."""
    server = new_server()
    server.start()
    before = set(server.workers())

    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(set(server.workers()) - before) == 1, "a new worker")
    server.write("later", "package g.later\n\nn := 1\n")

    wait_until(lambda: server.ask("later").status_code == 200, "somebody follows the folder again")


def test_metrics_of_all_workers_are_served_on_their_own_address(new_server: Callable[..., Server]) -> None:
    """With an address of its own, /metrics is there and nowhere else."""
    address = f"127.0.0.1:{free_port()}"
    server = new_server(metrics_address=address)
    server.start()
    for _ in range(8):
        requests.get(f"{server.url}/policy/v1/service/configuration?local_alias=x", timeout=5)

    said = requests.get(f"http://{address}/metrics", timeout=5).text

    assert 'policy_decisions_total{endpoint="service"' in said
    assert requests.get(f"{server.url}/metrics", timeout=5).status_code == 404


def test_metrics_say_what_is_loaded_and_who_does_the_background_work(new_server: Callable[..., Server]) -> None:
    """Of all workers together; one that is gone is not counted any more."""
    server = new_server()
    server.start()

    def value(name: str) -> float:
        found = re.search(rf"(?m)^{name} (\S+)$", requests.get(f"{server.url}/metrics", timeout=5).text)
        return -1.0 if found is None else float(found[1])

    wait_until(lambda: value("policy_engine_policies") == 12, "six policies in each of two workers")
    assert value("policy_engine_instances") >= 12
    assert value("policy_engine_memory_bytes") > 12 * 65536
    assert value("policy_degraded_workers") == 0
    wait_until(lambda: value("policy_acting_workers") == 1, "one of them does the background work")

    os.kill(server.workers()[0], signal.SIGKILL)
    wait_until(lambda: value("policy_engine_policies") == 6, "those of the other one are left")
    wait_until(lambda: value("policy_engine_policies") == 12, "and those of the one that took its place")
    assert server.stop() == 0
