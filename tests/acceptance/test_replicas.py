"""Several servers on one database answer as one."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from acceptance_server import Server, wait_until
from database_servers import mongodb_url, postgresql_url, replica_url
from pymongo import MongoClient

from policy_server.storage.opening import open_store

Pair = tuple[Server, Server]


@pytest.fixture(params=[postgresql_url, mongodb_url], ids=["postgresql", "mongodb"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database on a server."""
    address: str = request.param()
    return address


@pytest.fixture
def pair(url: str, new_server: Callable[..., Server], tmp_path: Path) -> Pair:
    """Two servers on one database, with a folder that whoever acts follows."""
    one, two = (new_server(storage_url=url, state_dir=str(tmp_path / name)) for name in ("one", "two"))
    one.start()
    two.start()
    return one, two


def test_what_one_server_publishes_or_locks_counts_in_the_other(pair: Pair) -> None:
    """A lock before its answer is sent; a new revision within a moment."""
    one, two = pair
    one.write("shared", "package g.shared\n\nn := 1\n")
    wait_until(lambda: all(each.ask("shared").status_code == 200 for each in pair), "both answer")

    lock = "policy/demo/g/shared/1.0/lock"
    for here, there in ((one, two), (two, one)) * 5:
        assert requests.post(f"{here.url}/{lock}", timeout=10).status_code == 200
        assert {there.ask("shared").status_code for _ in range(4)} == {403}
        assert requests.delete(f"{here.url}/{lock}", timeout=10).status_code == 200
        assert {there.ask("shared").status_code for _ in range(4)} == {200}

    one.write("shared", "package g.shared\n\nn := 2\n")
    wait_until(lambda: all(each.ask("shared").json() == {"n": 2} for each in pair for _ in range(4)), "both are new")
    assert "its-secret" not in one.log()


def test_when_one_server_is_killed_the_other_takes_its_work_over(pair: Pair) -> None:
    """Nothing acknowledged is lost, and edits are followed again."""
    one, two = pair
    one.write("kept", "package g.kept\n\nn := 1\n")
    wait_until(lambda: all(each.ask("kept").status_code == 200 for each in pair), "both answer")
    assert requests.post(f"{one.url}/policy/demo/g/kept/1.0/lock", timeout=10).status_code == 200

    workers = one.workers()
    one.stop(signal.SIGKILL)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    two.write("later", "package g.later\n\nn := 1\n")

    assert two.ask("kept").status_code == 403
    wait_until(lambda: two.ask("later").status_code == 200, "somebody follows the folder again")


def test_a_database_of_the_original_service_is_taken_over(new_server: Callable[..., Server]) -> None:
    """Its policies answer, its lock holds, and what does not compile is listed with the reason."""
    url = mongodb_url()
    client: MongoClient[dict[str, object]] = MongoClient(url)
    policies = client.get_default_database()["policies"]
    known = {"repository": "legacy", "group": "g", "version": "1.0", "data": '{"who": "ada"}', "dataConfig": ""}
    policies.insert_many(
        [
            {**known, "name": "old", "rego": "package g.old\n_ = data.who { true }", "locked": False},
            {**known, "name": "shut", "rego": "package g.shut\nn = 1", "locked": True},
            {**known, "name": "broken", "rego": "package g.broken\nn = }", "locked": False},
        ]
    )
    client.close()
    server = new_server(storage_url=url)

    server.start()

    wait_until(lambda: server.show("broken").get("state") == "failed", "all are taken over")
    wait_until(lambda: server.show("shut").get("locked") is True, "the locked one is there")
    assert requests.get(f"{server.url}/policy/legacy/g/shut/1.0/evaluation", timeout=30).status_code == 403
    assert requests.get(f"{server.url}/policy/legacy/g/old/1.0/evaluation", timeout=30).json() == "ada"
    store = open_store(url)
    assert list(store.foreign()) == []
    store.close()


@pytest.mark.parametrize(("address", "first"), [(replica_url, 2), (mongodb_url, 1)], ids=["stream", "no stream"])
def test_a_change_stream_brings_a_new_revision_long_before_the_next_look(
    new_server: Callable[..., Server], address: Callable[[], str], first: int, tmp_path: Path
) -> None:
    """Servers look once a minute; the first question, which would make one look, is answered anew already."""
    url = address()
    one, two = (
        new_server(storage_url=url, state_dir=str(tmp_path / name), worker_poll="60s", workers="1")
        for name in ("one", "two")
    )
    one.start()
    two.start()
    one.write("told", "package g.told\n\nn := 1\n")
    wait_until(lambda: all(each.ask("told").status_code == 200 for each in (one, two)), "both answer")

    one.write("told", "package g.told\n\nn := 2\n")
    wait_until(lambda: one.ask("told").json() == {"n": 2}, "the one that is asked is new")
    time.sleep(2)

    assert two.ask("told").json() == {"n": first}
