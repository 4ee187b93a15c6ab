"""Git repositories over HTTP: states, requests, push hooks."""

from datetime import timedelta

import pytest
from functional_server import Server, now

from policy_server.model.git import GitCondition, GitCounts, GitState
from policy_server.sources.git_config import read_repositories
from policy_server.sources.git_requests import GitRequests
from policy_server.sources.git_state import GitStates
from policy_server.storage.memory import MemoryStore

REPOSITORIES = read_repositories(
    {"a": {"url": "https://h.test/a", "token": "t0k", "hook_secret": "h00k"}, "b": {"url": "https://h.test/b"}}
).items


@pytest.fixture
def git(make_server) -> Server:
    """A server that knows of two repositories, which nobody follows here."""
    store = MemoryStore()
    return make_server(store=store, git=GitRequests(REPOSITORIES, store.cache, now))


def test_repositories_are_listed_with_their_state_and_without_secrets(git: Server) -> None:
    """What whoever follows them left in the store."""
    at = now()
    counts = GitCounts(published=2, failed=1)
    state = GitState("a", GitCondition.READY, "c" * 40, at, at, counts=counts, broken=(("a/g/n/1", "bad"),))
    GitStates(git.store.cache, now).save(state)

    answer = git.client.get("/v1/git")

    one, two = answer.json["repositories"]
    assert (one["repository"], one["state"], one["commit"], one["published"]) == ("a", "ready", "c" * 40, 2)
    assert one["broken"] == [{"policy": "a/g/n/1", "message": "bad"}]
    assert (two["state"], two["commit"], two["last_success"]) == ("waiting", None, None)
    assert b"t0k" not in answer.body
    assert b"h00k" not in answer.body
    assert git.client.get("/v1/git/a").json == one


def test_a_repository_that_is_not_set_is_a_problem(git: Server) -> None:
    """In the shape of RFC 9457."""
    for answer in (git.client.get("/v1/git/c"), git.client.post("/v1/git/c/sync"), git.client.post("/v1/git/c/hook")):
        assert (answer.status, answer.json["type"]) == (404, "/problems/repository-not-found")


def test_a_request_that_nobody_answers_in_time_is_accepted(git: Server) -> None:
    """It is in the store, for whoever follows the repository."""
    answer = git.client.post("/v1/git/a/sync?wait=0")

    assert (answer.status, answer.json["repository"]) == (202, "a")
    assert GitStates(git.store.cache, now).asked("a") > (now() - timedelta(minutes=1)).isoformat()
    assert git.client.post("/v1/git/a/sync?wait=31").status == 400


def test_a_hook_with_the_right_signature_asks_for_a_look(git: Server) -> None:
    """And one without does not."""
    states = GitStates(git.store.cache, now)

    refused = git.client.post("/v1/git/a/hook", body=b"{}", headers={"X-Gitlab-Token": "wrong"})
    asked_then = states.asked("a")
    taken = git.client.post("/v1/git/a/hook", body=b"{}", headers={"X-Gitlab-Token": "h00k"})

    assert (refused.status, refused.json["type"], asked_then) == (403, "/problems/hook-refused", "")
    assert (taken.status, states.asked("a") != "") == (202, True)
    assert git.client.post("/v1/git/b/hook", body=b"{}", headers={"X-Gitlab-Token": ""}).status == 403


def test_a_failing_repository_degrades_and_does_not_stop(git: Server, make_server) -> None:
    """What was published goes on answering."""
    requests = GitRequests(REPOSITORIES[:1], git.store.cache, now)
    GitStates(git.store.cache, now).save(
        GitState("a", GitCondition.FAILING, error="git.internal cannot be reached", failures=3)
    )
    server = make_server(store=git.store, git=requests, subsystems={"git": requests.status}, pexip_policies=())

    answer = server.client.get("/readyz?verbose")

    check = next(check for check in answer.json["checks"] if check["name"] == "git")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert (check["state"], check["message"]) == ("degraded", "a: 3 attempts failed in a row")
