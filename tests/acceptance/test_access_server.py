"""A running server that asks who is there, and an issuer that goes away and comes back."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from acceptance_server import Server, wait_until
from authority import make_authority
from joserfc import jws
from joserfc.jwk import ECKey
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

EVALUATION = "policy/bundled/pexip/service/1.0/evaluation"


class Issuer:
    """Publishes its newest key, when it is there."""

    def __init__(self, server: HTTPServer) -> None:
        """Answer at /keys."""
        self.rotate("one")
        self.there = True
        self.url = server.url_for("/keys")
        server.expect_request("/keys").respond_with_handler(self._answer)

    def rotate(self, kid: str) -> None:
        """Sign with another key from now on."""
        self.key = ECKey.generate_key("P-256", {"kid": kid})

    def token(self, **more: object) -> str:
        """Sign a token that may evaluate."""
        claims = {"sub": "alice", "aud": "policies", "exp": time.time() + 600, "scope": "evaluate:bundled"} | more
        return jws.serialize_compact({"alg": "ES256", "kid": self.key.kid}, json.dumps(claims).encode(), self.key)

    def _answer(self, _request: Request) -> Response:
        keys = {"keys": [self.key.as_dict(private=False)]}
        return Response(json.dumps(keys) if self.there else "", status=200 if self.there else 503)


@pytest.fixture
def issuer(httpserver: HTTPServer) -> Issuer:
    """An issuer on loopback."""
    return Issuer(httpserver)


def ask(server: Server, token: str | None) -> int:
    """Evaluate and return the status."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.post(f"{server.url}/{EVALUATION}", headers=headers, timeout=10).status_code


def test_the_first_start_gives_the_operator_a_token(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """With it others are made and revoked, in every worker; Pexip asks as ever; no log line has a token."""
    server = new_server(auth_enabled="true")
    server.start()
    admin = (tmp_path / "state" / "admin-token").read_text().strip()
    shown = {"Authorization": f"Bearer {admin}"}

    assert ask(server, None) == 401
    wish = {"name": "ci", "scopes": ["evaluate"]}
    made = requests.post(f"{server.url}/v1/tokens", json=wish, headers=shown, timeout=10).json()
    assert {ask(server, made["token"]) for _ in range(8)} == {200}
    pexip = requests.get(f"{server.url}/policy/v1/service/configuration?local_alias=my-vmr-kari", timeout=10)
    assert pexip.json()["result"]["pin"] == "2931"

    requests.delete(f"{server.url}/v1/tokens/{made['id']}", headers=shown, timeout=10).raise_for_status()
    wait_until(lambda: {ask(server, made["token"]) for _ in range(8)} == {401}, "refused by every worker")
    assert server.stop() == 0
    log = server.log()
    assert '"action": "refused"' in log
    assert made["token"] not in log
    assert admin not in log


def test_an_issuer_may_rotate_and_go_away(new_server: Callable[..., Server], issuer: Issuer) -> None:
    """It may be away at the start; new keys are found; known keys outlive it; nothing of a token is logged."""
    issuer.there = False
    server = new_server(
        workers="1",
        auth_enabled="true",
        auth_jwk_url=issuer.url,
        auth_audiences="policies",
        auth_refresh_interval="10s",
    )
    server.start()
    token = issuer.token()
    assert ask(server, token) == 503

    issuer.there = True
    wait_until(lambda: ask(server, token) == 200, "the keys are there")
    issuer.there = False
    assert ask(server, issuer.token()) == 200

    issuer.rotate("two")
    issuer.there = True
    wait_until(lambda: ask(server, issuer.token()) == 200, "the new key is there")
    assert ask(server, token) == 401
    assert server.stop() == 0
    assert not any(part in server.log() for part in (*token.split("."), *issuer.token().split(".")[:2]))


def test_several_issuers_have_limits_of_their_own(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """Over TLS of a private authority; one that is away is named by health and stops nobody else."""
    authority = make_authority(tmp_path)
    with HTTPServer("127.0.0.1", ssl_context=authority.server()) as site:
        issuer = Issuer(site)
        least = {"audiences": "policies", "ca_file": authority.path("ca.pem")}
        tables = {
            "corp": {"issuer": "urn:corp", "limit": "evaluate", "jwk_url": issuer.url} | least,
            "small": {"issuer": "urn:small", "limit": "evaluate:theirs", "jwk_url": issuer.url} | least,
            "away": {"issuer": "urn:away", "limit": "admin", "jwk_url": f"{issuer.url}/none"} | least,
        }
        server = new_server(auth_enabled="true", token_issuers=json.dumps(tables))
        server.start()

        assert [ask(server, issuer.token(iss=f"urn:{name}")) for name in (*tables, "else")] == [200, 403, 503, 401]
        checks = requests.get(f"{server.url}/readyz?verbose", timeout=10).json()["checks"]
        assert server.stop() == 0

    [keys] = [check for check in checks if check["name"] == "keys"]
    assert (keys["state"], keys["message"].partition("; away: ")[0]) == ("degraded", "corp: 1 keys; small: 1 keys")


def test_an_authority_that_cannot_be_read_stops_the_start(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """In one line that names the setting and the file; nobody finds out from refused tokens."""
    server = new_server(auth_enabled="true", auth_ca_file=str(tmp_path / "none.pem"))

    with pytest.raises(AssertionError, match="the server ended with 3"):
        server.start()
    assert server.stop() == 3

    assert "POLICY_AUTH_CA_FILE names" in server.log()
    assert "Traceback" not in server.log()


def test_protection_is_not_lost_by_reading_settings_again(new_server: Callable[..., Server], tmp_path: Path) -> None:
    """On HUP a server is as careful as at its start; the old settings stay in force."""
    file = tmp_path / "policy.toml"
    file.write_text("auth_enabled = true\n")
    server = new_server(config_file=str(file))
    server.start()

    file.write_text('host = "0.0.0.0"\n')
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old settings stay in force" in server.log(), "the refusal is logged")

    assert "would let everybody who reaches it" in server.log()
    assert ask(server, None) == 401
    assert server.stop() == 0
