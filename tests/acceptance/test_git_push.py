"""From a push to every worker."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from acceptance_server import Server, wait_until
from git_server import Daemon, Work, make_work, need_git


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """An empty repository, and a clone to work in."""
    need_git()
    (tmp_path / "git").mkdir()
    return make_work(tmp_path / "git")


@pytest.fixture
def daemon(tmp_path: Path, work: Work) -> Iterator[Daemon]:
    """Its server."""
    server = Daemon(tmp_path / "git")
    server.start()
    yield server
    server.stop()


def answers(server: Server, worker_calls: int = 8) -> list[object]:
    """Ask several times, over new connections, so that both workers answer."""
    address = f"{server.url}/policy/policies/g/n/1.0/evaluation"
    return [requests.post(address, timeout=30).json() for _ in range(worker_calls)]


def standing(server: Server) -> tuple[str, int]:
    """Return which commit the server says it has, and how many policies of it were new."""
    state = requests.get(f"{server.url}/v1/git/policies", timeout=10).json()
    return state["commit"], state["published"]


def test_a_push_with_a_hook_reaches_all_workers(new_server: Callable[..., Server], work: Work, daemon: Daemon) -> None:
    """A hook has the new commit fetched at once, by whichever worker follows the repository."""
    work.write("g/n/1.0", "package g.n\n\nn := 1\n")
    work.push()
    table = f'{{"policies": {{"url": "{daemon.url(work)}", "interval": "1h", "hook_secret": "h00k"}}}}'
    server = new_server(git=table)
    server.start()
    wait_until(lambda: answers(server) == [{"n": 1}] * 8, "the first commit is published")

    for n in (2, 3):
        work.write("g/n/1.0", f"package g.n\n\nn := {n}\n")
        commit = work.push()
        hook = requests.post(f"{server.url}/v1/git/policies/hook", headers={"X-Gitlab-Token": "h00k"}, timeout=10)
        assert hook.status_code == 202
        wait_until(lambda n=n: answers(server) == [{"n": n}] * 8, "every worker answers with the new policy")
        wait_until(lambda commit=commit: standing(server) == (commit, 1), "the state names the commit")

    metrics = requests.get(f"{server.url}/metrics", timeout=10).text
    assert 'policy_git_syncs_total{repository="policies",result="success"} 3.0' in metrics
    assert 'policy_git_sync_last_success_timestamp_seconds{repository="policies"}' in metrics
    assert "h00k" not in server.log()


def test_a_git_server_that_goes_away_and_comes_back(
    new_server: Callable[..., Server], work: Work, daemon: Daemon
) -> None:
    """Decisions go on, health says so, and the first success ends it."""
    work.write("g/n/1.0", "package g.n\n\nn := 1\n")
    work.push()
    server = new_server(git=f"policies={daemon.url(work)}")
    server.start()
    wait_until(lambda: answers(server) == [{"n": 1}] * 8, "the first commit is published")
    daemon.stop()

    down = requests.post(f"{server.url}/v1/git/policies/sync", timeout=40).json()

    assert (down["state"], "cannot be reached" in down["error"]) == ("failing", True)
    assert answers(server) == [{"n": 1}] * 8
    health = requests.get(f"{server.url}/readyz?verbose", timeout=10)
    checks = {check["name"]: check["state"] for check in health.json()["checks"]}
    assert (health.status_code, checks["git"]) == (200, "degraded")
    daemon.start()
    assert requests.post(f"{server.url}/v1/git/policies/sync", timeout=40).json()["state"] == "ready"


def test_workers_that_are_killed_in_the_middle_of_a_commit(
    new_server: Callable[..., Server], work: Work, daemon: Daemon
) -> None:
    """Every policy answers with its old or its new revision, and in the end all with the new one."""
    names = [f"n{number}" for number in range(30)]

    def push(value: int) -> str:
        for name in names:
            work.write(f"g/{name}/1.0", f"package g.{name}\n\nn := {value}\n")
        return work.push()

    def ask(name: str) -> object:
        try:
            return requests.post(f"{server.url}/policy/policies/g/{name}/1.0/evaluation", timeout=30).json()
        except requests.ConnectionError:
            return None  # its worker has just been killed

    def state() -> dict[str, object]:
        try:
            found: dict[str, object] = requests.get(f"{server.url}/v1/git/policies", timeout=30).json()
        except requests.ConnectionError:
            return {}
        return found

    push(1)
    server = new_server(git=f'{{"policies": {{"url": "{daemon.url(work)}", "interval": "1s"}}}}')
    server.start()
    wait_until(lambda: state().get("state") == "ready", "the first commit is published")
    commit = push(2)
    wait_until(lambda: state().get("state") == "syncing", "the second commit is looked at")

    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)

    wait_until(server.is_ready, "the next workers are ready")
    assert [answer for answer in map(ask, names) if answer not in ({"n": 1}, {"n": 2}, None)] == []
    wait_until(lambda: state().get("commit") == commit, "the second commit is published")
    wait_until(lambda: [ask(name) for name in names] == [{"n": 2}] * len(names), "all are new")
