"""Several issuers, from the settings to who asks: real HTTPS servers whose authority only the settings know."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, make_authority
from joserfc import jws
from joserfc.jwk import ECKey
from pytest_httpserver import HTTPServer

from policy_server.admission import Admission, check_access, first_token, remarks
from policy_server.auth.tokens import Tokens
from policy_server.model.errors import KeysUnavailable, NotAuthenticated, SettingsError
from policy_server.model.principal import Role
from policy_server.model.status import State
from policy_server.settings import Settings, load_settings
from policy_server.storage.memory import MemoryStore

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
OTHER = ECKey.generate_key("P-256", {"kid": "k1"})
SET = {"keys": [KEY.as_dict(private=False)]}


@dataclass
class Site:
    """An issuer behind TLS; ``answers`` may be changed while it runs."""

    server: HTTPServer
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """What it is called and where it is; the certificate is for the number."""
        return f"https://127.0.0.1:{self.server.port}"

    def answer(self, path: str, content: object, status: int = 200) -> None:
        """Answer a path from now on."""
        self.server.clear()
        self.answers[path] = (content, status)
        for each, (body, code) in self.answers.items():
            self.server.expect_request(each).respond_with_json(body, status=code)

    def publish(self, **document: object) -> None:
        """Publish keys and the document that leads to them."""
        found = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/certs"} | document
        self.answer("/.well-known/openid-configuration", found)
        self.answer("/certs", SET)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine trusts."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    """An issuer with a certificate of that authority."""
    with HTTPServer("127.0.0.1", ssl_context=authority.server()) as server:
        yield Site(server)


@pytest.fixture
def corp(site: Site, authority: Authority) -> Callable[..., dict[str, object]]:
    """Make corp's table; more and other words may be given, None leaves one out."""

    def table(**more: object) -> dict[str, object]:
        words = {"issuer": site.issuer, "audiences": "a", "limit": "edit:mine", "ca_file": authority.path("ca.pem")}
        return {name: value for name, value in (words | more).items() if value is not None}

    return table


def load(issuers: dict[str, object], **values: object) -> Settings:
    """Load settings with these issuers."""
    given = {"auth_enabled": True, "token_issuers": json.dumps(issuers)} | values
    return load_settings(environ={"HOME": "/home/kari"}, overrides=given)


def admission(settings: Settings) -> Admission:
    """Set up who may come in, at NOW."""
    store = MemoryStore()
    return Admission(settings, lambda: store, lambda: NOW)


def signed(issuer: str, key: ECKey = KEY, **claims: object) -> dict[str, object]:
    """Return a request with a token."""
    body = {"sub": "alice", "iss": issuer, "aud": "a", "exp": NOW.timestamp() + 60, "scope": "admin"} | claims
    token = jws.serialize_compact({"alg": "ES256", "kid": "k1"}, json.dumps(body).encode(), key)
    return {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": f"Bearer {token}"}


@pytest.mark.parametrize("where", ["discovery", "jwk_url", "jwk_file"])
def test_keys_come_over_https_from_a_private_authority(
    site: Site, corp: Callable[..., dict[str, object]], tmp_path: Path, where: str
) -> None:
    """From where the discovery document says, from an address, or from a file, which needs no authority."""
    site.publish()
    (tmp_path / "keys.json").write_text(json.dumps(SET))
    more: dict[str, object] = {
        "discovery": {},
        "jwk_url": {"jwk_url": f"{site.issuer}/certs"},
        "jwk_file": {"jwk_file": str(tmp_path / "keys.json"), "ca_file": None},
    }[where]  # type: ignore[assignment] # three tables

    alice = admission(load({"corp": corp(**more)})).gate().admit(signed(site.issuer))

    assert alice.name == "jwt/corp:alice"
    assert alice.allows(Role.EDIT, "mine")
    assert not alice.allows(Role.PUBLISH, "mine")
    assert not alice.allows(Role.READ, "yours")


def test_one_setting_names_the_authority_for_all(site: Site, corp: Callable[..., dict[str, object]], authority) -> None:
    """For issuers without a file of their own, for the keys of the others, and for our own tokens."""
    site.publish()
    site.answer("/token", {"access_token": "abc", "token_type": "Bearer"})
    everywhere = {"auth_ca_file": authority.path("ca.pem"), "oauth_token_url": f"{site.issuer}/token"}
    tables = admission(load({"corp": corp(ca_file=None)}, **everywhere))
    plain = admission(load({}, auth_jwk_url=f"{site.issuer}/certs", auth_default_scopes="read", **everywhere))

    assert tables.gate().admit(signed(site.issuer)).name == "jwt/corp:alice"
    assert plain.gate().admit(signed("anybody")).name == "jwt:alice"
    assert tables.outgoing is not None
    assert tables.outgoing.header() == "Bearer abc"


def test_an_authority_that_is_not_named_is_not_trusted(
    site: Site, corp: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    """Neither by nobody's word, nor by that of another authority; health says what and whose."""
    site.publish()
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other")

    for file in (None, other.path("ca.pem")):
        made = admission(load({"corp": corp(ca_file=file)}))
        with pytest.raises(KeysUnavailable):
            made.gate().admit(signed(site.issuer))
        status = made.keys_status()
        assert status.state is State.DEGRADED
        assert status.message.startswith("corp: GET https://127.0.0.1:")
        assert "certificate" in status.message


def test_one_issuer_away_leaves_the_other(site: Site, corp: Callable[..., dict[str, object]], httpserver) -> None:
    """Equal key ids do not help a token of the one that is away, and health names that one."""
    site.publish()
    httpserver.expect_request("/keys").respond_with_json({"keys": [OTHER.as_dict(private=False)]})
    url = httpserver.url_for("/keys")
    away = {"issuer": "urn:away", "audiences": "a", "limit": "admin", "jwk_url": f"{url}/none"}
    third = {"issuer": "urn:third", "audiences": "a", "limit": "read", "jwk_url": url}
    made = admission(load({"corp": corp(), "away": away, "third": third}))
    made.tick()

    assert made.gate().admit(signed(site.issuer)).name == "jwt/corp:alice"
    assert made.gate().admit(signed("urn:third", OTHER)).name == "jwt/third:alice"
    with pytest.raises(KeysUnavailable):
        made.gate().admit(signed("urn:away"))
    for stranger in (signed("urn:third"), signed(site.issuer, OTHER), signed("urn:else")):
        with pytest.raises(NotAuthenticated):
            made.gate().admit(stranger)
    status = made.keys_status()
    assert status.state is State.DEGRADED
    assert [part.partition(":")[0] for part in status.message.split("; ")] == ["corp", "away", "third"]
    assert "answers 500" in status.message


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"issuer": "https://evil.example"}, "document of another issuer"),
        ({"jwks_uri": "http://127.0.0.1/certs"}, "does not name an https address"),
        ({"jwks_uri": "file:///etc/passwd"}, "does not name an https address"),
        ({"jwks_uri": "https://10.1.2.3/certs"}, "10.1.2.3 is a private address"),
        ({"jwks_uri": None}, "no discovery document"),
    ],
)
def test_a_discovery_document_must_be_the_issuers_own(
    site: Site, corp: Callable[..., dict[str, object]], document: dict[str, object], word: str
) -> None:
    """And may lead neither out of TLS nor into our network."""
    site.publish(**document)
    made = admission(load({"corp": corp()}))

    with pytest.raises(KeysUnavailable):
        made.gate().admit(signed(site.issuer))

    assert word in made.keys_status().message


def test_files_of_authorities_are_looked_at_when_the_server_starts(
    corp: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    """The setting and the file are named."""
    missing, empty = str(tmp_path / "none.pem"), tmp_path / "empty.pem"
    empty.write_text("no certificate")

    check_access(load({"corp": corp()}))
    with pytest.raises(
        SettingsError, match=r"ca_file of corp in POLICY_TOKEN_ISSUERS names .*none.pem.*: No such file"
    ):
        check_access(load({"corp": corp(ca_file=missing)}))
    with pytest.raises(SettingsError, match=r"POLICY_AUTH_CA_FILE must name a file with certificates .*empty.pem has"):
        check_access(load({}, auth_ca_file=str(empty)))


def test_no_token_is_ever_logged(
    site: Site, corp: Callable[..., dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    """Good, of nobody, of an issuer that is away, for somebody else; at any level."""
    site.publish()
    gate = admission(load({"corp": corp(), "away": corp(issuer="urn:away", jwk_url=f"{site.issuer}/none")})).gate()
    asked = [
        signed(site.issuer),
        signed("urn:else"),
        signed("urn:away"),
        signed(site.issuer, OTHER),
        signed(site.issuer, aud="b"),
    ]

    said = []
    with caplog.at_level(logging.DEBUG):
        for request in asked:
            try:
                said.append(gate.admit(request).name)
            except (NotAuthenticated, KeysUnavailable) as error:
                said.append(f"{error.message} {error.__cause__}")
    told = caplog.text + json.dumps([*said, *(record.__dict__ for record in caplog.records)], default=repr)

    for request in asked:
        for part in str(request["HTTP_AUTHORIZATION"]).removeprefix("Bearer ").split(".")[1:]:
            assert part not in told


def test_issuers_count_where_others_are_counted(corp: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    """No first token is made beside them; without authentication they are remarked, and ask nobody."""
    on, off = (load({"corp": corp()}, auth_enabled=word, state_dir=tmp_path) for word in (True, False))
    store = MemoryStore()

    assert first_token(on, Tokens(store.tokens, store.audit, lambda: NOW)) is None
    assert list(remarks(on)) == []
    assert ["no effect without POLICY_AUTH_ENABLED" in each for each in remarks(off)] == [True]
    assert (admission(off).bearer, admission(off).rings) == (None, {})
