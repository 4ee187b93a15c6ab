"""A server that explains its decisions, and what policies print."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
from acceptance_server import Server, wait_until

TELLING = 'package g.telling\n\nallow if {\n\tprint("user", input.user)\n\tinput.user == data.user\n}\n'
ENDLESS = """package g.endless

n := count([1 | some a in numbers.range(1, 9999); some b in numbers.range(1, 9999); a == b])
"""


def test_a_server_explains_when_it_is_told_to(new_server: Callable[..., Server]) -> None:
    """Result, trace and prints in the answer; prints in the log at debug level, with the decision's id."""
    server = new_server(explain="yes", log_level="debug")
    server.start()
    server.write("telling", TELLING, data={"user": "kari"})
    wait_until(lambda: server.ask("telling", {}).status_code == 200, "the policy answers")

    reply = server.ask("telling", {"user": "kari"}, params={"explain": "full"}, headers={"X-Evaluation-Id": "mine"})

    answer = reply.json()
    assert (reply.status_code, reply.headers["etag"]) == (200, "mine")
    assert (answer["result"], answer["printed"]) == ({"allow": True}, ["user kari"])
    assert any("policy.rego:5" in line for line in answer["explanation"])
    assert server.stop() == 0
    entries = [json.loads(line) for line in server.log().splitlines() if "policy printed: user kari" in line]
    assert [(entry["decision_id"], entry["policy"], entry["level"]) for entry in entries] == [
        ("mine", "demo/g/telling/1.0", "debug")
    ]


def test_explanations_take_nothing_from_calls(new_server: Callable[..., Server]) -> None:
    """While many ask for endless explanations, most are refused at once and every Pexip request is answered."""
    server = new_server(explain="yes", workers="1", evaluation_deadline="1s")
    server.start()
    server.write("endless", ENDLESS)
    wait_until(lambda: server.show("endless") != {}, "the policy is there")
    url = f"{server.url}/policy/v1/service/configuration?local_alias=my-vmr-kari&protocol=sip"

    with ThreadPoolExecutor(12) as asking:
        asked = [asking.submit(server.ask, "endless", {}, params={"explain": "full"}) for _ in range(24)]
        calls = [requests.get(url, timeout=5) for _ in range(20)]
        statuses = [each.result().status_code for each in asked]

    assert {call.status_code for call in calls} == {200}
    assert {call.json()["status"] for call in calls} == {"success"}
    assert set(statuses) == {500, 503}
    assert server.stop() == 0
