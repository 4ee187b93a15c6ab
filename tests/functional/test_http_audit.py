"""Who changed what, when and from where, over HTTP."""

import json
from dataclasses import replace

import pytest
from functional_server import Server
from wsgi_client import Client

from policy_server.api.app import make_app
from policy_server.auth.gate import Gate
from policy_server.auth.proxies import Proxies
from policy_server.model.errors import StoreUnavailable

ITEM = "/v1/policies/r/g/p/1.0"
REGO = "package g.p\n\na := 1\n"
BODY = json.dumps({"rego": REGO}).encode()


def trail(server: Server, query: str = "") -> list[dict]:
    """Return the records, newest first."""
    return server.client.get(f"/v1/audit?{query}").json["records"]


def test_every_change_is_on_record(server: Server) -> None:
    """Publish, data, roll back, lock, unlock, delete: each once, with digests before and after."""
    client = server.client
    client.ask("PUT", ITEM, body=BODY)
    client.ask("PUT", ITEM, body=BODY)  # changes nothing
    client.ask("PUT", f"{ITEM}/data", body=b'{"pin": "2931"}')
    client.post(f"{ITEM}/rollback", b'{"revision": 1}')
    client.post("/policy/r/g/p/1.0/lock")
    client.post("/policy/r/g/p/1.0/lock")  # refused
    client.ask("DELETE", "/policy/r/g/p/1.0/lock")
    client.ask("DELETE", ITEM)

    records = trail(server)[::-1]
    assert [each["action"] for each in records] == ["publish", "change-data", "roll-back", "lock", "unlock", "delete"]
    first, second, third = records[:3]
    assert (first["before"], second["before"], second["after"]) == (None, first["after"], third["before"])
    assert (third["after"], records[5]["before"]) == (first["after"], first["after"])
    assert {(each["actor"], each["subject"], each["outcome"]) for each in records} == {("anonymous", "r/g/p/1.0", "ok")}
    assert "2931" not in json.dumps(records)


def test_tokens_are_on_record(server: Server) -> None:
    """Made and revoked, by id and never by text; a revoked one that is revoked again is no change."""
    wanted = b'{"name": "ci", "scopes": ["read", "edit:r"], "expires_at": "2030-01-01T00:00:00Z"}'
    made = server.client.post("/v1/tokens", wanted).json
    for _ in range(2):
        assert server.client.ask("DELETE", f"/v1/tokens/{made['id']}").status == 200

    records = trail(server)
    seen = [(each["action"], each["subject"], each["actor"]) for each in records[::-1]]
    subject = f"token/{made['id']}"
    assert seen == [("create-token", subject, "anonymous"), ("revoke-token", subject, "anonymous")]
    assert made["token"] not in json.dumps(records)
    rights = "ci: read edit:r; until 2030-01-01T00:00:00+00:00"
    assert [(each["before"], each["after"]) for each in records[::-1]] == [(None, rights), (rights, None)]


def test_subscribers_are_on_record(server: Server) -> None:
    """Under their policy, by id; the address may hold a token."""
    server.publish("r/g/p/1.0", REGO)
    wanted = b'{"webhook_url": "https://93.184.216.34/hook?key=s3cret", "subscriber": "somebody"}'
    made = server.client.post("/policy/r/g/p/1.0/notifychange", wanted).json
    server.client.ask("DELETE", f"/policy/r/g/p/1.0/notifychange/{made['MongoID']}")

    removed, added = trail(server, "policy=r/g/p/1.0")[:2]
    assert (added["action"], added["after"], added["actor"]) == ("subscribe", made["MongoID"], "anonymous")
    assert (removed["action"], removed["before"], removed["outcome"]) == ("unsubscribe", made["MongoID"], "ok")
    assert "s3cret" not in json.dumps([added, removed])


def test_automatic_imports_are_on_record(server: Server) -> None:
    """With their address, without what may be secret in it."""
    config = b'{"policyURL": "https://me:s3cret@h.example.com/b.zip?key=s3cret", "interval": "1h"}'
    server.client.post("/v1/policy/import/config", config)
    server.client.post("/v1/policy/import/config", config.replace(b"1h", b"90m"))
    server.client.ask("DELETE", "/v1/policy/import/config", body=config)
    server.client.ask("DELETE", "/v1/policy/import/config", body=config)  # 404

    records = trail(server)
    assert [each["action"] for each in records[::-1]] == ["save-auto-import", "save-auto-import", "remove-auto-import"]
    assert {each["subject"] for each in records} == {"https://h.example.com/b.zip"}
    (_, first), (again, second), (last, gone) = ((each["before"], each["after"]) for each in records[::-1])
    assert (first.split()[1:], second.split()[1:]) == (["every", "1h0m0s"], ["every", "1h30m0s"])
    assert (again, last, gone) == (first, second, None)


def test_a_record_says_who_and_from_where(server: Server) -> None:
    """The address is the socket's, whatever headers say; the request is named."""
    server.client.ask(
        "PUT",
        ITEM,
        body=BODY,
        headers={"X-Request-ID": "r-1", "X-Forwarded-For": "192.0.2.1", "Policy-Server-Actor": "root"},
        environ={"REMOTE_ADDR": "198.51.100.7"},
    )

    record = trail(server)[0]
    assert (record["actor"], record["origin"], record["request_id"]) == ("anonymous", "198.51.100.7", "r-1")


def test_a_record_names_the_caller_behind_our_proxy(server: Server) -> None:
    """The rightmost address that is not one of our proxies; others' headers are not believed."""
    gate = Gate(proxies=Proxies(["10.0.0.5"]))
    client = Client(make_app(replace(server.parts, gate=gate)))
    forwarded = {"X-Forwarded-For": "192.0.2.1, 198.51.100.7"}
    server.publish("r/g/p/1.0", REGO)

    client.ask("POST", "/policy/r/g/p/1.0/lock", headers=forwarded, environ={"REMOTE_ADDR": "10.0.0.5"})
    client.ask("DELETE", "/policy/r/g/p/1.0/lock", headers=forwarded, environ={"REMOTE_ADDR": "203.0.113.9"})

    assert [each["origin"] for each in trail(server)[:2]] == ["203.0.113.9", "198.51.100.7"]


def test_what_the_server_does_itself_has_no_address(server: Server) -> None:
    """A feed, a refresh, or an import names itself; an earlier request of the thread is forgotten."""
    server.client.post("/policy/no/g/p/1.0/lock")
    server.publish("r/g/p/1.0", REGO)

    record = trail(server)[0]
    assert (record["actor"], record["origin"], record["request_id"]) == ("test", "", "")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_lock_after_a_failed_validation_is_on_record(make_server, method: str) -> None:
    """The server locked; the request says who made it do so."""
    server = make_server(lock_on_validation_failure=True)
    server.publish("r/g/p/1.0", REGO, output_schema='{"type": "string"}')
    server.client.ask(
        method,
        "/policy/r/g/p/1.0/validation",
        headers={"X-Request-ID": "r-7"},
        environ={"REMOTE_ADDR": "198.51.100.7"},
    )

    record = trail(server)[0]
    assert (record["action"], record["actor"]) == ("lock", "validation")
    assert (record["origin"], record["request_id"]) == ("198.51.100.7", "r-7")


def test_records_are_filtered_and_paged(server: Server) -> None:
    """By policy, actor, action and time; since is included, until is not."""
    for name in ("p", "q", "s"):
        server.publish(f"r/g/{name}/1.0", REGO.replace("g.p", f"g.{name}"))
    server.client.post("/policy/r/g/p/1.0/lock")
    at = trail(server, "policy=r/g/q/1.0")[0]["at"]

    assert len(trail(server, "policy=r/g/p/1.0")) == 2
    assert len(trail(server, "actor=test")) == 3
    assert [each["action"] for each in trail(server, "action=lock")] == ["lock"]
    assert [each["subject"] for each in trail(server, f"until={at}")] == ["r/g/p/1.0"]
    assert len(trail(server, f"since={at}")) == 3
    seen, cursor = [], ""
    while cursor is not None:
        page = server.client.get(f"/v1/audit?limit=1&cursor={cursor}").json
        seen += page["records"]
        cursor = page["next_cursor"]
    assert seen == trail(server)


@pytest.mark.parametrize("query", ["since=x", "until=2026-13-01T00:00:00Z", "limit=0", "cursor=x", "since=%FF"])
def test_bad_filters_are_refused(server: Server, query: str) -> None:
    """400 as a problem."""
    answer = server.client.get(f"/v1/audit?{query}")

    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-parameter")


def test_what_cannot_be_recorded_is_not_done(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes no records takes no changes either: 503, and everything is as before."""
    server.publish("r/g/p/1.0", REGO)
    # The memory store cannot fail; this is the one place where it has to.
    monkeypatch.setattr(type(server.store.audit), "record", _away)

    answers = [
        server.client.ask("PUT", ITEM, body=BODY.replace(b"1", b"2")),
        server.client.ask("PUT", f"{ITEM}/data", body=b'{"a": 1}'),
        server.client.ask("DELETE", ITEM),
        server.client.post("/policy/r/g/p/1.0/lock"),
        server.client.post("/v1/tokens", b'{"name": "ci", "scopes": ["read"]}'),
        server.client.post("/v1/policy/import/config", b'{"policyURL": "https://h.example.com", "interval": "1h"}'),
    ]

    assert [each.status for each in answers] == [503, 503, 503, 500, 503, 503]
    assert (list(server.store.tokens.all()), list(server.store.auto_imports.all())) == ([], [])
    assert (server.client.get(ITEM).json["revision"], server.client.get(ITEM).json["locked"]) == (1, False)


def _away(*_args: object) -> None:
    raise StoreUnavailable("the disk is full")
