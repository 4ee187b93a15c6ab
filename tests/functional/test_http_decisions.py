"""Decisions that are kept in the store, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from decision_servers import PLAIN, Recorded, recording
from wsgi_client import Client

from policy_server.auth.gate import Gate
from policy_server.auth.proxies import Proxies
from policy_server.model.errors import StoreUnavailable
from policy_server.model.logged import DecisionFilter
from policy_server.model.principal import Principal, grants_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A server that was asked five things, all of them on record."""
    with recording(tmp_path_factory.mktemp("state"), decision_log="store") as made:
        made.client.post(f"/policy/{PLAIN}/evaluation", b'{"user": "ada"}', headers={"X-Evaluation-Id": "mine"})
        made.client.post(f"/policy/{PLAIN}/validation", b'{"user": "bob"}')
        made.client.post("/v1/data/g/echo", b'{"input": {"token": "abcdefgh", "n": 1.50}}')
        made.service("room@example.com")
        made.service("wrong@example.com")
        wait_for(made, 5)
        yield made


def wait_for(server: Recorded, number: int) -> None:
    """Wait until so many decisions are kept."""
    store = server.assembly.store.decisions
    while len(store.find(DecisionFilter(), limit=50).decisions) < number:
        server.assembly._stop.wait(0.01)


def asked_by(server: Recorded, *scopes: str) -> Client:
    """Return a client of the server for somebody with these scopes."""
    assembly = server.assembly
    gate = Gate(proxies=Proxies(()), everybody=Principal("token:x", grants_of(scopes)))
    assembly.admission.gate = lambda **_: gate  # type: ignore[method-assign]
    try:
        return Client(assembly.app())
    finally:
        del assembly.admission.gate


def outcomes(server: Recorded, query: str) -> list[str]:
    """Return doors and outcomes, newest first."""
    return [
        f"{each['endpoint']} {each['outcome']}"
        for each in server.client.get(f"/v1/decisions?{query}").json["decisions"]
    ]


def test_decisions_are_listed_newest_first(server: Recorded) -> None:
    """Page by page."""
    assert outcomes(server, "") == [
        "pexip fallback",
        "pexip answered",
        "data answered",
        "validation failed",
        "evaluation answered",
    ]
    first = server.client.get("/v1/decisions?limit=4").json
    rest = server.client.get(f"/v1/decisions?limit=4&cursor={first['next_cursor']}").json
    assert (len(first["decisions"]), len(rest["decisions"]), rest["next_cursor"]) == (4, 1, None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"policy={PLAIN}", ["validation failed", "evaluation answered"]),
        ("path=g/echo", ["data answered"]),
        ("endpoint=pexip&outcome=answered", ["pexip answered"]),
        ("kind=service&errors=true", ["pexip fallback"]),
        ("errors=true", ["pexip fallback", "validation failed"]),
        ("alias=ROOM@", ["pexip answered"]),
        ("requested_by=pexip", ["pexip fallback", "pexip answered"]),
        ("decision_id=mine", ["evaluation answered"]),
        ("since=2100-01-01T00:00:00Z", []),
        ("until=2020-01-01T00:00:00Z", []),
    ],
)
def test_decisions_are_found_by_what_is_known_of_them(server: Recorded, query: str, found: list[str]) -> None:
    """Filters add up."""
    assert outcomes(server, query) == found


def test_one_decision_is_shown_whole(server: Recorded) -> None:
    """With its input as it was, but for secrets."""
    shown = server.client.get("/v1/decisions/mine")

    assert (shown.status, shown.json["input"], shown.json["result"]) == (200, {"user": "ada"}, {"allow": True})
    [data] = server.client.get("/v1/decisions?endpoint=data").json["decisions"]
    assert data["input"] == {"token": "**********", "n": 1.5}
    assert server.client.get(f"/v1/decisions/{data['decision_id']}").json == data


def test_answers_to_pexip_name_their_record(server: Recorded) -> None:
    """The id in the answer, which Pexip writes to its support log, finds the record."""
    answer = server.client.get("/policy/v1/service/configuration?local_alias=room%40example.com").json

    wait_for(server, 6)
    assert server.client.get(f"/v1/decisions/{answer['decision_id']}").json["alias"] == "room@example.com"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("policy=x", "policy"), ("limit=201", "limit"), ("since=noon", "since"), ("errors=perhaps", "errors")],
)
def test_a_filter_that_cannot_be_understood_is_refused(server: Recorded, query: str, parameter: str) -> None:
    """As a problem document that names it."""
    answer = server.client.get(f"/v1/decisions?{query}")

    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["errors"][0]["parameter"] == parameter


def test_an_unknown_decision_is_not_there(server: Recorded) -> None:
    """404, and which one."""
    answer = server.client.get("/v1/decisions/none")

    assert (answer.status, answer.json["type"]) == (404, "/problems/decision-not-found")
    assert "none" in answer.json["detail"]


def test_everybody_sees_the_decisions_of_what_he_may_read(server: Recorded) -> None:
    """The role read, in the repository of the policy; evaluating is not enough."""
    here, elsewhere, asking = asked_by(server, "read:r"), asked_by(server, "read:x"), asked_by(server, "evaluate")

    assert len(here.get("/v1/decisions").json["decisions"]) >= 5
    assert elsewhere.get("/v1/decisions").json["decisions"] == []
    assert (here.get("/v1/decisions/mine").status, elsewhere.get("/v1/decisions/mine").status) == (200, 404)
    assert (asking.get("/v1/decisions").status, asking.get("/v1/decisions/mine").status) == (403, 403)


def test_a_server_that_keeps_none_says_which_setting_does(tmp_path: Path) -> None:
    """A log of lines cannot be searched here."""
    with recording(tmp_path) as server:
        for target in ("/v1/decisions", "/v1/decisions/mine"):
            answer = server.client.get(target)

            assert answer.status == 404
            assert "POLICY_DECISION_LOG=store" in answer.json["detail"]


def test_a_store_that_is_away_is_no_surprise(server: Recorded) -> None:
    """503 for who searches."""

    class Away:
        def find(self, *_args: object, **_options: object) -> None:
            raise StoreUnavailable

    assembly = server.assembly
    kept, assembly.recording.kept = assembly.recording.kept, lambda **_: Away()  # type: ignore[method-assign]
    client = Client(assembly.app())
    assembly.recording.kept = kept  # type: ignore[method-assign]

    assert client.get("/v1/decisions").status == 503
