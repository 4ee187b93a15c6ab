"""Who may ask for what, over HTTP."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
from bundle_samples import bundle, opa_signed, public_jwk
from functional_server import Server, now
from wsgi_client import Answer, Client

from policy_server.api.app import make_app
from policy_server.api.roles import Narrow, Open, need_of
from policy_server.api.routes import ROUTES
from policy_server.auth.gate import Gate
from policy_server.auth.proxies import AddressFilter, Proxies
from policy_server.auth.tokens import Tokens
from policy_server.model.access import TrustedKey
from policy_server.model.policy import PolicyId
from policy_server.model.principal import INCLUDED, Role

MINE = "/policy/mine/g/p/1.0"
REGO = "package g.p\n\nn := 1\n"
ASKED = [route for route in ROUTES if not isinstance(need_of(route.operation), Open)]


@dataclass
class Guarded:
    """A server that asks who is there, and its tokens."""

    server: Server
    tokens: Tokens
    client: Client

    def token(self, *scopes: str, name: str = "test") -> dict[str, str]:
        """Make a token and return the header that shows it."""
        return {"Authorization": f"Bearer {self.tokens.create(name, scopes, by='test').text}"}

    def ask(self, method: str, target: str, *scopes: str, body: bytes = b"") -> Answer:
        """Ask with a token of these scopes."""
        return self.client.ask(method, target, headers=self.token(*scopes), body=body)


@pytest.fixture
def make_guarded(make_server: Callable[..., Server]) -> Callable[..., Guarded]:
    """Make servers that ask for tokens; options are those of the API."""

    def make(addresses: AddressFilter | None = None, **options: object) -> Guarded:
        server = make_server(**options)
        tokens = Tokens(server.store.tokens, server.store.audit, now)
        gate = Gate(proxies=Proxies(["10.0.0.5"]), tokens=tokens, addresses=addresses)
        return Guarded(server, tokens, Client(make_app(replace(server.parts, gate=gate, tokens=tokens))))

    return make


@pytest.fixture
def guarded(make_guarded: Callable[..., Guarded]) -> Guarded:
    """A server with two policies in two repositories."""
    made = make_guarded()
    for repository in ("mine", "yours"):
        made.server.publish(f"{repository}/g/p/1.0", REGO)
    return made


def is_kept_out(answer: Answer) -> bool:
    """Tell whether an answer refuses who asks; a policy that is locked refuses everybody, without a challenge."""
    return answer.status in {401, 403} and "www-authenticate" in answer.headers


def place(path: str) -> str:
    """Fill in the address of a policy that is there."""
    values = {"repository": "mine", "group": "g", "policy": "p", "version": "1.0"}
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: values.get(found[1], "1"), path)


@pytest.mark.parametrize("route", ASKED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_lets_in_its_roles_and_nobody_else(guarded: Guarded, route) -> None:
    """Without a token 401, with too small a role or another repository 403, else an answer."""
    need = need_of(route.operation)
    needed = need.role if isinstance(need, Narrow) else need
    target = place(route.path)

    assert guarded.client.ask(route.method, target).status == 401
    for role in Role:
        assert is_kept_out(guarded.ask(route.method, target, role)) is (needed not in INCLUDED[role]), role
    if "{repository}" in route.path:
        assert guarded.ask(route.method, target, f"{needed}:yours").status == 403
        assert not is_kept_out(guarded.ask(route.method, target, f"{needed}:mine"))
    elif not isinstance(need, Narrow):
        assert guarded.ask(route.method, target, f"{needed}:mine").status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/livez",
        "/readyz",
        "/liveness",
        "/readiness",
        "/health",
        "/metrics",
        "/openapi.json",
        "/swagger-ui/",
        "/problems",
    ],
)
def test_probes_and_pages_ask_nobody(guarded: Guarded, path: str) -> None:
    """Wrong credentials do not matter there either."""
    assert guarded.client.get(path, headers={"Authorization": "Bearer wrong"}).status in {200, 503}


def test_pexip_keeps_its_own_password(make_guarded: Callable[..., Guarded]) -> None:
    """HTTP Basic, with or without tokens for the others; a token does not help there."""
    guarded = make_guarded(pexip_credentials=(("pexip", "secret"),), addresses=AddressFilter([]))
    address = "/any/prefix/policy/v1/service/configuration"
    basic = {"Authorization": "Basic cGV4aXA6c2VjcmV0"}

    assert guarded.client.get(address, headers=basic).status == 404
    refused = guarded.client.get(address, headers=guarded.token("admin"))
    assert (refused.status, refused.body) == (401, b"")
    assert refused.headers["www-authenticate"].startswith("Basic ")


def test_refusals_have_the_shape_of_their_route(guarded: Guarded) -> None:
    """The policy service's 401 is kind 2, its 403 kind 3; ours are problems."""
    unknown = guarded.client.post(f"{MINE}/evaluation")
    small = guarded.ask("POST", f"{MINE}/lock", "evaluate")
    problem = guarded.client.get("/v1/tokens")
    asked = guarded.client.get("/v1/policies", headers={"Accept": "application/problem+json"})

    assert (unknown.status, unknown.json["kind"], set(unknown.json)) == (401, 2, {"id", "kind", "message"})
    assert (small.status, small.json["kind"]) == (403, 3)
    assert small.json["message"] == "This needs the role publish in the repository mine."
    for each in (problem, asked):
        assert (each.status, each.headers["content-type"]) == (401, "application/problem+json")
        assert each.json["type"] == "/problems/not-authenticated"


def test_a_bundle_is_for_those_who_publish_in_its_repository(guarded: Guarded) -> None:
    """Asked once the signature is good, and before anything is written."""
    key = TrustedKey("k", "peer", public_jwk("P-256", "peer"), ("mine", "yours"), now(), "test")
    guarded.server.store.keys.save(key)
    ours, theirs, forged = (
        bundle(policy=policy, owner=owner)
        for policy, owner in (("mine/g/p/1.0", "peer"), ("yours/g/p/1.0", "peer"), ("yours/g/p/1.0", "attacker"))
    )

    taken, small, unsigned = (
        guarded.ask("POST", "/v1/policy/import", "publish:mine", body=body) for body in (ours, theirs, forged)
    )

    assert (taken.status, small.status, unsigned.status) == (200, 403, 403)
    assert small.json["message"] == "This needs the role publish in the repository yours."
    assert unsigned.json["message"] == "failed to verify bundle"
    left = guarded.server.store.get(PolicyId.parse("yours/g/p/1.0"))
    assert (left.revision and left.revision.number) == 1


def test_opas_bundle_is_for_those_who_publish_in_the_repository_that_is_named(guarded: Guarded) -> None:
    """By whoever sends it, where it does not name itself."""
    key = TrustedKey("k", "peer", public_jwk("P-256", "peer"), ("mine", "yours"), now(), "test")
    guarded.server.store.keys.save(key)
    body = opa_signed(files={"p.rego": b"package g.p\n\nallow := true\n"})

    taken, small = (
        guarded.ask("POST", f"/v1/policy/import?policy={name}/g/p/1.0", "publish:mine", body=body)
        for name in ("mine", "yours")
    )

    assert (taken.status, small.status) == (200, 403)
    assert small.json["message"] == "This needs the role publish in the repository yours."


def test_the_secrets_in_a_webhooks_address_are_for_those_who_may_subscribe(guarded: Guarded) -> None:
    """Readers see where it leads, not what lets us in there."""
    whole = "https://me:s3cret@93.184.216.34/hook?key=s3cret"
    body = json.dumps({"webhook_url": whole, "subscriber": "somebody"}).encode()
    made = guarded.ask("POST", f"{MINE}/notifychange", "edit:mine", body=body).json["MongoID"]

    def seen(scope: str) -> set[str]:
        (listed,) = guarded.ask("GET", f"{MINE}/notifychange", scope).json["subscribers"]
        return {listed["WebhookURL"], guarded.ask("GET", f"{MINE}/notifychange/{made}", scope).json["WebhookURL"]}

    assert seen("read:mine") == {"https://93.184.216.34/hook"}
    assert seen("edit:mine") == {whole}


def test_refusals_say_how_to_come_in(guarded: Guarded) -> None:
    """RFC 6750, section 3: nothing but the scheme without credentials, else what was wrong."""
    challenges = [
        guarded.client.get("/v1/policies"),
        guarded.client.get("/v1/policies", headers={"Authorization": "Bearer pst_wrong"}),
        guarded.ask("POST", f"{MINE}/lock", "read"),
        guarded.client.get("/policy/m%22%0d%0aX: y/g/p/1.0/evaluation", headers=guarded.token("read")),
    ]

    realm = 'Bearer realm="policy-server"'
    assert [each.headers["www-authenticate"] for each in challenges] == [
        realm,
        f'{realm}, error="invalid_token"',
        f'{realm}, error="insufficient_scope", scope="publish:mine"',
        f'{realm}, error="insufficient_scope"',
    ]


def test_what_is_not_there_is_told_only_to_who_may_know(guarded: Guarded) -> None:
    """A repository's policies cannot be guessed by those who may not see it."""
    there, missing = "/v1/policies/yours/g/p/1.0", "/v1/policies/yours/g/none/1.0"

    assert [guarded.ask("GET", path, "read:mine").status for path in (there, missing)] == [403, 403]
    assert [guarded.ask("GET", path, "read:yours").status for path in (there, missing)] == [200, 404]


def test_addresses_and_methods_that_are_not_there_stay_so(guarded: Guarded) -> None:
    """404 and 405 need no token."""
    assert guarded.client.get("/v1/nothing").status == 404
    assert guarded.client.ask("DELETE", f"{MINE}/evaluation").status == 405
    assert guarded.client.ask("PATCH", "/v1/tokens").status == 405


def test_a_listing_shows_what_may_be_read(guarded: Guarded) -> None:
    """Several grants add up; pages go on where a page is empty."""

    def listed(*scopes: str, query: str = "") -> list[str]:
        answer = guarded.ask("GET", f"/v1/policies{query}", *scopes)
        return [policy["repository"] for policy in answer.json["policies"]]

    assert listed("read") == ["mine", "yours"]
    assert listed("read:mine") == ["mine"]
    assert listed("evaluate", "edit:yours") == ["yours"]
    assert listed("read:mine", query="?repository=yours") == []
    first = guarded.ask("GET", "/v1/policies?limit=1", "read:yours").json
    assert first["policies"] == []
    assert listed("read:yours", query=f"?limit=1&cursor={first['next_cursor']}") == ["yours"]


def test_changes_carry_who_made_them(guarded: Guarded) -> None:
    """The lock's event names the token."""
    headers = guarded.token("publish:mine", name="night shift")
    assert guarded.client.post(f"{MINE}/lock", headers=headers).status == 200
    assert guarded.client.ask("DELETE", f"{MINE}/lock", headers=headers).status == 200
    assert guarded.server.client.post(f"{MINE}/lock").status == 200

    actors = [event.actor for event in guarded.server.store.outbox.events(after=0, limit=100)]

    assert actors[-3:] == ["token:night shift", "token:night shift", "anonymous"]


def test_a_trace_needs_the_right_to_read(guarded: Guarded) -> None:
    """It shows the source, which who may only evaluate does not see."""
    assert is_kept_out(guarded.ask("POST", f"{MINE}/evaluation?explain=full", "evaluate"))
    assert not is_kept_out(guarded.ask("POST", f"{MINE}/evaluation?explain=full", "evaluate", "read"))


def test_refusals_are_counted_by_kind(guarded: Guarded) -> None:
    """An operator sees which; the labels stay few."""
    guarded.client.get("/v1/policies")
    guarded.client.get("/v1/policies", headers={"Authorization": "Bearer eyJ.x.y"})
    guarded.ask("GET", "/v1/tokens", "read")

    page = guarded.client.get("/metrics").body.decode()

    for kind in ("missing", "token", "role"):
        assert f'policy_auth_failures_total{{kind="{kind}"}} 1.0' in page


def test_no_token_is_ever_logged(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """Good or bad, made or shown, at any level; the line says who and from where."""
    with caplog.at_level(logging.DEBUG):
        good = guarded.token("read", name="reader")["Authorization"]
        wrong = "Bearer pst_" + "w" * 43
        made = guarded.ask("POST", "/v1/tokens", "admin", body=b'{"name": "x", "scopes": ["read"]}').json["token"]
        for header in (good, wrong, "Basic c2VjcmV0OnNlY3JldA==", "Bearer sensitive.words.inside"):
            for target in ("/v1/policies", "/v1/tokens", f"/v1/tokens/{good.split()[1]}"):
                guarded.client.ask(
                    "GET" if target.count("/") == 2 else "DELETE",
                    target,
                    headers={"Authorization": header, "X-Forwarded-For": "192.0.2.7"},
                    environ={"REMOTE_ADDR": "10.0.0.5"},
                )
    told = caplog.text + json.dumps([record.__dict__ for record in caplog.records], default=repr)

    for secret in (good.split()[1], wrong.split()[1], made, "c2VjcmV0", "sensitive"):
        assert secret not in told
    refusals = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "refused"]
    assert {
        (each["remote"], each["principal"], each["reason"]) for each in refusals if each["remote"] != "127.0.0.1"
    } == {
        ("192.0.2.7", "token:reader", "role"),
        ("192.0.2.7", "nobody", "token"),
        ("192.0.2.7", "nobody", "malformed"),
    }


def test_only_listed_addresses_pass(make_guarded: Callable[..., Guarded]) -> None:
    """Behind the proxy that is trusted, and only there; probes stay open."""
    guarded = make_guarded(AddressFilter(["192.0.2.0/24"]))
    headers = guarded.token("read")

    def ask(peer: str, forwarded: str) -> Answer:
        shown: Mapping[str, str] = {**headers, "X-Forwarded-For": forwarded}
        return guarded.client.get("/v1/policies", headers=shown, environ={"REMOTE_ADDR": peer})

    assert ask("10.0.0.5", "192.0.2.7").status == 200
    for peer, forwarded in (("10.0.0.5", "192.0.2.7, 203.0.113.1"), ("203.0.113.1", "192.0.2.7")):
        refused = ask(peer, forwarded)
        assert (refused.status, refused.json["kind"], "www-authenticate" in refused.headers) == (403, 3, False)
    assert guarded.client.get("/livez").status == 200


def test_tokens_are_made_shown_once_and_revoked(guarded: Guarded) -> None:
    """The whole life of one, over HTTP."""
    admin = guarded.token("admin")
    body = b'{"name": "ci", "scopes": ["evaluate:mine"], "expires_at": "2100-01-01T00:00:00Z"}'

    refused = guarded.client.post("/v1/tokens", body, headers=admin)
    assert refused.status == 400  # a life of seventy years is a mistake
    made = guarded.client.post("/v1/tokens", body.replace(b"2100", str(now().year + 1).encode()), headers=admin)
    shown = {"Authorization": f"Bearer {made.json['token']}"}
    assert (made.status, made.headers["cache-control"]) == (200, "no-store")
    assert guarded.client.post(f"{MINE}/evaluation", headers=shown).json == {"n": 1}

    listed = guarded.client.get("/v1/tokens", headers=admin)
    assert made.json["token"] not in listed.body.decode()
    [view] = [token for token in listed.json["tokens"] if token["id"] == made.json["id"]]
    assert (view["name"], view["scopes"], view["created_by"], view["revoked_at"]) == (
        "ci", ["evaluate:mine"], "token:test", None,
    )  # fmt: skip

    for _ in range(2):
        assert guarded.client.ask("DELETE", f"/v1/tokens/{view['id']}", headers=admin).json["revoked_at"] is not None
    assert guarded.client.post(f"{MINE}/evaluation", headers=shown).status == 401
    assert guarded.client.ask("DELETE", "/v1/tokens/unknown", headers=admin).status == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", []),
        (b"{", []),
        (b"\xff", []),
        (b"[]", []),
        (b'{"name": "x"}', []),
        (b'{"name": "x", "deep": %b}' % (b"[" * 5000 + b"]" * 5000), []),
        (b'{"name": "x", "scopes": ["read"], "admin": true}', []),
        (b'{"name": "x", "scopes": "read"}', []),
        (b'{"name": "", "scopes": ["nothing", "read:"]}', ["/name", "/scopes/0", "/scopes/1"]),
        (b'{"name": "a\\nb", "scopes": []}', ["/name", "/scopes"]),
        (b'{"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}', ["/expires_at"]),
        (b'{"name": "x", "scopes": ["read"], "expires_at": "2100-01-01T00:00:00"}', ["/expires_at"]),
    ],
)
def test_wishes_that_cannot_be_granted_are_explained(guarded: Guarded, body: bytes, pointers: list[str]) -> None:
    """400 with the place of each mistake; nothing is made."""
    answer = guarded.ask("POST", "/v1/tokens", "admin", body=body)

    assert answer.status == 400
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert [token.name for token in guarded.tokens.all()] == ["test"]
