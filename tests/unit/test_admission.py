"""What the settings make of who may come in."""

import json
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import ECKey
from pytest_httpserver import HTTPServer

from policy_server.admission import FIRST, Admission, check_exposure, first_token, is_loopback, remarks
from policy_server.auth.tokens import Tokens
from policy_server.model.audit import AuditFilter
from policy_server.model.errors import NotAuthenticated, SettingsError
from policy_server.model.principal import ANONYMOUS, LOCAL, Role
from policy_server.settings import Settings, load_settings
from policy_server.storage.memory import MemoryStore

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
KEY = ECKey.generate_key("P-256", {"kid": "k1"})


def load(**values: object) -> Settings:
    """Load settings by name."""
    return load_settings(environ={"HOME": "/home/kari"}, overrides=values)


def admission(settings: Settings, store: MemoryStore | None = None) -> Admission:
    """Set up who may come in, at NOW."""
    kept = store or MemoryStore()
    return Admission(settings, lambda: kept, lambda: NOW)


def signed(**claims: object) -> dict[str, object]:
    """Return a request with a token of KEY."""
    body = {"sub": "alice", "iss": "i", "aud": "a", "exp": NOW.timestamp() + 60, "roles": ["edit:mine"]} | claims
    token = jws.serialize_compact({"alg": "ES256", "kid": "k1"}, json.dumps(body).encode(), KEY)
    return {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1"])
def test_loopback_needs_nothing(host: str) -> None:
    """Only this machine reaches it."""
    check_exposure(load(host=host))
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "policy.example", "2001:db8::1"])
def test_every_other_address_needs_authentication_or_a_word(host: str) -> None:
    """One sentence that says both ways."""
    with pytest.raises(SettingsError, match=r"POLICY_AUTH_ENABLED=true, or --allow-anonymous") as caught:
        check_exposure(load(host=host))
    assert "\n" not in caught.value.message

    check_exposure(load(host=host, auth_enabled=True))
    check_exposure(load(host=host, allow_anonymous=True))


def test_a_filter_of_addresses_is_no_authentication() -> None:
    """It does not say who asks."""
    with pytest.raises(SettingsError):
        check_exposure(load(host="0.0.0.0", ip_filter_enable=True, ip_filter_allowed_ips="10.0.0.1"))


def test_the_first_start_makes_a_token_for_the_operator(tmp_path: Path) -> None:
    """In a file that only its user reads; the second start makes none."""
    store = MemoryStore()
    settings = load(auth_enabled=True, state_dir=tmp_path)
    tokens = Tokens(store.tokens, store.audit, lambda: NOW)

    file = first_token(settings, tokens)

    assert file == tmp_path / "admin-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    principal = tokens.identify(file.read_text().strip())
    assert principal.allows(Role.ADMIN)
    assert [token.id for token in store.tokens.all()] == [FIRST]
    made = store.audit.find(AuditFilter(action="create-token"), limit=2).records
    assert [(each.actor, each.subject) for each in made] == [("first start", f"token/{FIRST}")]
    tokens.revoke(FIRST, by="me")
    assert first_token(settings, tokens) is None


def test_an_old_file_or_a_link_is_not_written_through(tmp_path: Path) -> None:
    """What lies there is replaced, not followed."""
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "admin-token").symlink_to(tmp_path / "elsewhere")

    file = first_token(
        load(auth_enabled=True, state_dir=tmp_path), Tokens(MemoryStore().tokens, MemoryStore().audit, lambda: NOW)
    )

    assert file is not None
    assert not file.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize(
    "more",
    [{"auth_enabled": False}, {"auth_jwk_url": "https://i.example/keys"}, {"auth_certificates": "CN=a => admin"}],
)
def test_no_token_is_made_where_others_can_come_in(tmp_path: Path, more: dict[str, object]) -> None:
    """Or where nobody is asked."""
    settings = load(**{"auth_enabled": True, "state_dir": tmp_path} | more)

    assert first_token(settings, Tokens(MemoryStore().tokens, MemoryStore().audit, lambda: NOW)) is None
    assert list(tmp_path.iterdir()) == []


def test_without_authentication_everybody_is_anonymous_and_commands_are_local() -> None:
    """Commands on the store itself need not say who they are, and no filter keeps them out."""
    off = admission(load(ip_filter_enable=True, ip_filter_allowed_ips="192.0.2.1"))
    on = admission(load(auth_enabled=True, ip_filter_enable=True))

    assert off.gate().admit({"REMOTE_ADDR": "192.0.2.1"}) is ANONYMOUS
    assert on.gate(local=True).admit({"REMOTE_ADDR": "127.0.0.1"}) is LOCAL


def test_tokens_of_an_issuer_come_in_as_the_settings_say(httpserver: HTTPServer) -> None:
    """Keys over HTTP from a private address that the operator named; claims as set."""
    httpserver.expect_request("/keys").respond_with_json({"keys": [KEY.as_dict(private=False)]})
    settings = load(
        auth_enabled=True,
        auth_jwk_url=httpserver.url_for("/keys"),
        auth_issuers="i",
        auth_audiences="a,b",
        auth_scope_claim="roles",
        auth_default_scopes="evaluate",
        auth_clock_skew="0",
    )
    gate = admission(settings).gate()

    assert gate.admit(signed()).allows(Role.EDIT, "mine")
    assert gate.admit(signed(roles=None)).allows(Role.EVALUATE)
    for wrong in ({"iss": "x"}, {"aud": "x"}, {"exp": NOW.timestamp()}):
        with pytest.raises(NotAuthenticated):
            gate.admit(signed(**wrong))


def test_keys_in_a_file_need_no_issuer(tmp_path: Path) -> None:
    """For machines without a way out."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    gate = admission(load(auth_enabled=True, auth_jwk_file=file, auth_default_scopes="read")).gate()

    assert gate.admit(signed()).name == "jwt:alice"


def test_a_redirect_to_keys_elsewhere_is_not_followed(httpserver: HTTPServer) -> None:
    """The operator named one address."""
    httpserver.expect_request("/keys").respond_with_data("", status=302, headers={"Location": "/other"})
    httpserver.expect_request("/other").respond_with_json({"keys": [KEY.as_dict(private=False)]})
    made = admission(load(auth_enabled=True, auth_jwk_url=httpserver.url_for("/keys")))
    assert made.keys is not None

    made.tick()

    assert "answers 302" in made.keys.status().message


def test_certificates_come_in_as_the_settings_say() -> None:
    """Under the names of headers that are set."""
    settings = load(
        auth_enabled=True,
        trusted_proxies="10.0.0.0/8",
        auth_certificates="CN=a,O=b => publish:mine",
        auth_subject_header="Ssl-Client-Subject",
    )
    known = admission(settings).gate().admit({"REMOTE_ADDR": "10.1.1.1", "HTTP_SSL_CLIENT_SUBJECT": "CN=a,O=b"})

    assert known.allows(Role.PUBLISH, "mine")


def test_uses_of_tokens_are_noted_beside_the_requests(httpserver: HTTPServer) -> None:
    """By the thread that also refreshes keys; at the stop what is left is written."""
    httpserver.expect_request("/keys").respond_with_json({"keys": [KEY.as_dict(private=False)]})
    store = MemoryStore()
    made = admission(load(auth_enabled=True, auth_jwk_url=httpserver.url_for("/keys")), store)
    minted = made.tokens.create("ci", ["read"], by="me")
    stop = threading.Event()
    thread = threading.Thread(target=made.watch, args=(stop,))

    made.tokens.identify(minted.text)
    stop.set()
    thread.start()
    thread.join(10)

    assert store.tokens.all()[0].last_used_at == NOW
    assert made.keys is not None
    assert made.keys.find("k1") is not None


def test_credentials_for_others_are_made_of_the_settings(httpserver: HTTPServer) -> None:
    """None without an issuer."""
    httpserver.expect_request("/token").respond_with_json({"access_token": "abc", "token_type": "Bearer"})
    made = admission(load(oauth_token_url=httpserver.url_for("/token"), oauth_client_id="u", oauth_client_secret="s"))

    assert admission(load()).outgoing is None
    assert made.outgoing is not None
    assert made.outgoing.header() == "Bearer abc"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"auth_jwk_url": "https://i.example/k"}, "no effect without POLICY_AUTH_ENABLED"),
        ({"auth_certificates": "CN=a => read", "auth_enabled": True}, "POLICY_TRUSTED_PROXIES"),
        ({"auth_jwk_url": "https://i.example/k", "auth_enabled": True}, "POLICY_AUTH_AUDIENCES is empty"),
        ({"ip_filter_enable": True}, "nobody gets through"),
    ],
)
def test_settings_that_do_less_than_they_seem_are_remarked(values: dict[str, object], word: str) -> None:
    """One sentence each, at the start."""
    assert [word in remark for remark in remarks(load(**values))] == [True]
    assert list(remarks(load())) == []
