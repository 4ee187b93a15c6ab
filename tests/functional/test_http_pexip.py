"""Answering Pexip Infinity over HTTP."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from functional_server import Server
from wsgi_client import Client

from policy_server.api.app import make_app

DECIDE = """package pexip.{kind}

decision := {decision}
"""
ROOM = (
    '{"action": "continue", "result": {"service_type": "conference", "name": input.call.local_alias, '
    '"service_tag": "t"}}'
)
SERVICE = "/policy/v1/service/configuration"
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def decide(server: Server, kind: str, decision: str) -> None:
    """Publish what answers one kind of request."""
    rego = DECIDE.replace("{kind}", kind).replace("{decision}", decision)
    server.publish(f"test/pexip/{kind}/1.0", rego)


@pytest.fixture
def rooms(server: Server) -> Server:
    """A server that gives a room to every alias."""
    decide(server, "service", ROOM)
    return server


@pytest.mark.parametrize("mount", ["", "/pexip", "/cdr/policy/s3cret", "/a/b/c", "/"])
def test_a_service_request_is_answered_behind_any_prefix(rooms: Server, mount: str) -> None:
    """Whatever URL is typed into the policy profile, the policy answers."""
    answer = rooms.client.get(f"{mount}{SERVICE}?local_alias=meet.alice&protocol=sip")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["status"] == "success"
    assert answer.json["result"]["name"] == "meet.alice"
    assert answer.json["decision_id"]


def test_each_kind_of_request_has_its_policy(server: Server) -> None:
    """Participant, location, directory and registration are answered by their own policies."""
    decide(server, "participant", '{"action": "continue", "result": {"preauthenticated_role": "chair"}}')
    decide(server, "media_location", '{"result": {"location": "Oslo"}}')
    entry = '{"username": "", "alias": input.call.q, "description": "x"}'
    decide(server, "directory", '{"result": [' + entry + "]}")
    decide(server, "registration", '{"action": "reject", "result": {}} if input.alias == "bob@example.com"')

    participant = server.client.get("/policy/v1/participant/properties?local_alias=a")
    location = server.client.get("/policy/v1/participant/location?local_alias=a")
    directory = server.client.get("/policy/v1/registrations?q=bob&limit=10")
    registration = server.client.get("/policy/v1/registrations/bob%40example.com")

    assert participant.json["result"]["preauthenticated_role"] == "chair"
    assert location.json["result"]["location"] == "Oslo"
    assert directory.json["result"][0]["alias"] == "bob"
    assert registration.json["action"] == "reject"


@pytest.mark.parametrize("tail", ["/", "/?q=bob"])
def test_registrations_with_a_slash_is_a_directory_search(server: Server, tail: str) -> None:
    """An empty alias is no alias."""
    decide(server, "directory", '{"result": []}')

    assert server.client.get(f"/policy/v1/registrations{tail}").json["result"] == []


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("bob+x@example.com", "bob+x@example.com"),
        ("%C3%A9l%C3%A8ve", "élève"),
        ("x%FFy", "x\ufffdy"),
        ("x\xffy", "x\ufffdy"),
        ("a%252Fb", "a%2Fb"),
    ],
)
def test_the_alias_of_a_path_arrives_whole(server: Server, sent: str, seen: str) -> None:
    """Slashes, plus signs, other alphabets and broken bytes are no error."""
    rule = '{"action": "continue", "result": {"username": input.alias, "password": "p"}}'
    decide(server, "registration", rule)

    answer = server.client.get(f"/x/policy/v1/registrations/{sent}")

    assert answer.status == 200
    assert seen in json.dumps(answer.json, ensure_ascii=False)


@pytest.mark.parametrize(
    "query", ["local_alias=%FF%FE", "local_alias=\xff", "%FF=1&local_alias=a", "&&=;%", "a" * 8000]
)
def test_a_broken_query_is_answered(rooms: Server, query: str) -> None:
    """Invalid UTF-8 is replaced, and nothing makes it a 400 or a 500."""
    assert rooms.client.get(f"{SERVICE}?{query}").status in {200, 404}


def test_an_avatar_is_a_jpeg(server: Server) -> None:
    """A picture of the size Pexip asked for."""
    decide(server, "avatar", '{"result": {"image": "' + ONE_PIXEL + '"}}')

    answer = server.client.get("/policy/v1/participant/avatar/bob%40example.com?width=40&height=30")

    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.body.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "target",
    [
        "/policy/v1/participant/avatar/nobody",
        "/policy/v1/participant/audioavatar/bob",
        "/x/policy/v1/participant/audioavatar/bob",
        "/policy/v1/policy/v1/service/configuration",
        "/x/policy/v1/policy/v1/registrations/a",
        "/x/policy/v1/nothing",
    ],
)
def test_what_there_is_not_is_an_empty_404(rooms: Server, target: str) -> None:
    """No body, no content type, no redirect."""
    answer = rooms.client.get(target)

    assert (answer.status, answer.body) == (404, b"")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])
@pytest.mark.parametrize("target", [SERVICE, "/x/policy/v1/registrations/a", "/policy/v1/participant/avatar/a"])
def test_only_get_is_answered(rooms: Server, method: str, target: str) -> None:
    """Other methods are 405 without a body."""
    answer = rooms.client.ask(method, target, body=b'{"a": 1}')

    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "GET")


def test_a_broken_policy_falls_back_and_never_fails(server: Server) -> None:
    """Conflicts, missing policies and locks are answered by the fallback, here 404."""
    decide(server, "service", '{"action": "continue"} if input\n\ndecision := {"action": "reject"} if true')
    server.publish("test/pexip/participant/1.0", "package pexip.participant\n\ndecision := 5\n")

    for target in (SERVICE, "/policy/v1/participant/properties", "/policy/v1/participant/location"):
        answer = server.client.get(target, headers={"Accept": "application/problem+json"})

        assert answer.status == 404
        assert answer.headers.get("content-type", "application/json") == "application/json"


def test_a_crash_in_the_answering_is_a_404(rooms: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Even an error nobody thought of does not become a 5xx for Pexip."""
    client = Client(make_app(replace(rooms.parts, answers=None)))

    answer = client.get(SERVICE, headers={"Accept": "application/problem+json"})

    assert (answer.status, answer.body) == (404, b"")
    assert "unexpected error" in caplog.text


class TestBasic:
    """HTTP Basic, with several users."""

    @pytest.fixture
    def guarded(self, make_server: Callable[..., Server]) -> Server:
        """A server that asks for a password."""
        server = make_server(pexip_credentials=(("old", "s3cret-1"), ("zoë", "s3cret:2")))
        decide(server, "service", ROOM)
        return server

    @pytest.mark.parametrize("pair", ["old:s3cret-1", "zoë:s3cret:2"])
    def test_every_user_is_let_in(self, guarded: Server, pair: str) -> None:
        """Two passwords work at a time, so that they can be changed."""
        header = "Basic " + base64.b64encode(pair.encode()).decode()

        answer = guarded.client.get(f"{SERVICE}?local_alias=a", headers={"Authorization": header})

        assert answer.status == 200

    @pytest.mark.parametrize("header", ["", "Basic", "Basic Zm9v", "Basic \xff", "Bearer x", "Basic " + "A" * 9000])
    def test_nobody_else_is(self, guarded: Server, header: str, caplog: pytest.LogCaptureFixture) -> None:
        """401 with a challenge, counted and logged, without the password."""
        answer = guarded.client.get(SERVICE, headers={"Authorization": header} if header else {})

        assert (answer.status, answer.body) == (401, b"")
        assert answer.headers["www-authenticate"] == 'Basic realm="policy-server", charset="UTF-8"'
        assert "no right user and password" in caplog.text
        assert "Zm9v" not in caplog.text
        assert b'policy_auth_failures_total{kind="pexip"} 1.0' in guarded.client.get("/metrics").body

    def test_other_routes_need_no_pexip_password(self, guarded: Server) -> None:
        """Pexip's password is for Pexip's routes."""
        assert guarded.client.get("/livez").status == 200
