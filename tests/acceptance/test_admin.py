"""What an administrator does counts in every worker within a second."""

import concurrent.futures
import time
from collections.abc import Callable

import requests
from acceptance_server import Server, wait_until


def test_a_policy_that_is_put_answers_in_every_worker(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    """On new connections, so that all workers are asked; then the next revision, and then none."""
    item, ask = f"{server.url}/v1/policies/api/g/put/1.0", f"{server.url}/policy/api/g/put/1.0/evaluation"
    slowest = 0.0
    for number in range(1, 6):
        made = requests.put(item, json={"rego": "package g.put\n\nn := data.n\n", "data": {"n": number}}, timeout=60)
        assert made.status_code == (201 if number == 1 else 200)
        done = time.monotonic()
        wait_until(lambda n=number: _all_say(ask, {"n": n}), f"all workers answer with revision {number}")
        slowest = max(slowest, time.monotonic() - done)
    record_property("slowest, in seconds", round(slowest, 3))

    assert requests.delete(item, timeout=30).status_code == 204
    wait_until(lambda: {requests.get(ask, timeout=30).status_code for _ in range(8)} == {404}, "it is gone everywhere")


def test_two_administrators_cannot_overwrite_each_other(server: Server) -> None:
    """Of many that edit what they all saw, in all workers, one wins; the others are told, and the audit has both."""
    item = f"{server.url}/v1/policies/api/g/race/1.0"
    body = {"rego": "package g.race\n\nn := data.n\n", "data": {"n": 0}}
    seen = requests.put(item, json=body, timeout=60).headers["etag"]

    def edit(number: int) -> int:
        return requests.put(f"{item}/data", json={"n": number}, headers={"If-Match": seen}, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(edit, range(1, 17)))

    assert sorted(statuses) == [200] + [412] * 15
    changes = requests.get(
        f"{server.url}/v1/audit", params={"policy": "api/g/race/1.0", "action": "change-data"}, timeout=30
    ).json()["records"]
    made = [each["after"] for each in changes if each["outcome"] == "ok"]
    lost = [each for each in changes if each["outcome"] == "changed-meanwhile"]
    assert requests.get(item, timeout=30).json()["digest"] in made
    assert len(made) == 1 + len(lost)  # whoever was overtaken while writing has a second record that says so


def test_a_policy_of_a_folder_is_not_edited_here(server: Server) -> None:
    """409 says which folder."""
    server.write("mine", "package g.mine\n\nn := 1\n")
    wait_until(lambda: server.ask("mine").status_code == 200, "the folder is followed")

    answer = requests.delete(f"{server.url}/v1/policies/demo/g/mine/1.0", timeout=30)

    assert (answer.status_code, str(server.folder) in answer.json()["detail"]) == (409, True)


def test_opa_and_authzen_clients_find_the_same_policy(server: Server) -> None:
    """The package by its path; AuthZEN only where it is configured."""
    server.write("door", 'package g.door\n\nallow if input.user == "ada"\n')
    wait_until(lambda: server.ask("door").status_code == 200, "the folder is followed")

    answer = requests.post(f"{server.url}/v1/data/g/door/allow", json={"input": {"user": "ada"}}, timeout=30)

    assert (answer.status_code, answer.json()["result"]) == (200, True)
    assert requests.get(f"{server.url}/.well-known/authzen-configuration", timeout=30).status_code == 404


def test_results_are_kept_where_the_policy_service_keeps_them(new_server, httpserver) -> None:
    """In the cache service, although the answer does not wait for it."""
    httpserver.expect_request("/v1/cache", method="POST").respond_with_data("", status=201)
    server = new_server(cache_url=httpserver.url_for("").rstrip("/"), allowed_networks="127.0.0.1")
    server.start()
    server.write("cached", "package g.cached\n\nn := 1\n")
    wait_until(lambda: server.ask("cached").status_code == 200, "the folder is followed")

    server.ask("cached", headers={"x-evaluation-id": "e-1", "x-cache-ttl": "60"})

    wait_until(lambda: any(each.headers["x-cache-key"] == "e-1" for each, _ in httpserver.log), "it is sent")
    sent = next(each for each, _ in httpserver.log if each.headers["x-cache-key"] == "e-1")
    assert (sent.data, sent.headers["x-cache-ttl"]) == (b'{"n":1}', "60")


def _all_say(address: str, expected: object) -> bool:
    answers = [requests.get(address, timeout=30) for _ in range(12)]
    return all(answer.status_code == 200 and answer.json() == expected for answer in answers)
