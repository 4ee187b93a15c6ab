"""Who vouches for a bundle."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from bundle_desk import START, Desk
from bundle_samples import KINDS, bundle, public_jwk
from pytest_httpserver import HTTPServer

from policy_server.bundles.incoming import open_incoming
from policy_server.bundles.trust import Issuer, did_document, key_address, read_trusted
from policy_server.model.bundle import Voucher
from policy_server.model.errors import BundleUnverified, UnusableKey
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

KEY = "/policy/shared/g/p/1.0/key"


def vouch(desk: Desk, content: bytes) -> Voucher:
    """Ask who has signed."""
    return desk.trust.vouch(open_incoming(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_key_vouches(make_desk: Callable[..., Desk], kind: str) -> None:
    """Whatever the bundle says about where its key is."""
    desk = make_desk()
    desk.pin("Ed25519", "other")
    desk.pin(kind, repositories=["shared"])

    assert vouch(desk, bundle(kind=kind, key_url="http://169.254.169.254/")) == Voucher("peer", ("shared",))


def test_a_key_that_expired_vouches_no_more(make_desk: Callable[..., Desk]) -> None:
    """From that moment on."""
    desk = make_desk()
    desk.pin(expires_at=START + timedelta(seconds=10))
    assert vouch(desk, bundle()).name == "peer"

    desk.clock.forward(10)

    with pytest.raises(BundleUnverified):
        vouch(desk, bundle())


def test_nobody_is_trusted_at_first(make_desk: Callable[..., Desk]) -> None:
    """Without keys and issuers every bundle is refused."""
    with pytest.raises(BundleUnverified, match="No pinned key"):
        vouch(make_desk(), bundle())


def test_the_address_in_a_bundle_is_not_asked(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> None:
    """An attacker signs with his own key and serves it himself: the original believed that."""
    httpserver.expect_request(KEY).respond_with_data(public_jwk("P-256", "attacker"))
    desk = make_desk(issuers=[Issuer("https://peer.example.com")])
    desk.pin()

    with pytest.raises(BundleUnverified):
        vouch(desk, bundle(owner="attacker", key_url=httpserver.url_for(KEY)))

    assert httpserver.log == []


@pytest.mark.parametrize("as_set", [False, True])
def test_a_trusted_issuer_serves_its_keys(make_desk: Callable[..., Desk], httpserver: HTTPServer, as_set: bool) -> None:
    """One JWK, or a set."""
    jwk = public_jwk("RSA")
    httpserver.expect_request(KEY).respond_with_data(f'{{"keys": [{jwk}]}}' if as_set else jwk)
    issuer = httpserver.url_for("/policy").rstrip("/")
    desk = make_desk(issuers=[Issuer(issuer, ("shared",))])

    found = vouch(desk, bundle(kind="RSA", key_url=httpserver.url_for(KEY)))

    assert found == Voucher(issuer, ("shared",))


def test_a_trusted_issuer_with_another_key_does_not_vouch(
    make_desk: Callable[..., Desk], httpserver: HTTPServer
) -> None:
    """The attacker points at the key of somebody trusted."""
    httpserver.expect_request(KEY).respond_with_data(public_jwk("P-256"))
    desk = make_desk(issuers=[Issuer(httpserver.url_for(""))])

    with pytest.raises(BundleUnverified, match="does not fit the key"):
        vouch(desk, bundle(owner="attacker", key_url=httpserver.url_for(KEY)))


@pytest.mark.parametrize(("status", "body"), [(500, "{}"), (302, ""), (200, "{}"), (200, "\xff"), (200, "[" * 10_000)])
def test_a_key_that_cannot_be_had_is_none(
    make_desk: Callable[..., Desk], httpserver: HTTPServer, status: int, body: str
) -> None:
    """Redirects are not followed."""
    httpserver.expect_request(KEY).respond_with_data(body.encode("latin-1"), status, {"location": "/elsewhere"})
    desk = make_desk(issuers=[Issuer(httpserver.url_for(""))])

    with pytest.raises(BundleUnverified):
        vouch(desk, bundle(key_url=httpserver.url_for(KEY)))


def test_an_issuer_in_a_forbidden_network_is_not_asked(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> None:
    """The guard of outgoing requests holds here, too."""
    desk = make_desk(issuers=[Issuer(httpserver.url_for(""))], client=GuardedClient(NetworkGuard()))

    with pytest.raises(BundleUnverified, match="cannot be had"):
        vouch(desk, bundle(key_url=httpserver.url_for(KEY)))

    assert httpserver.log == []


@pytest.mark.parametrize(
    ("issuer", "where"),
    [
        ("https://a.example.com", "https://a.example.com/key"),
        ("https://a.example.com/", "https://a.example.com/policy/x/key"),
        ("https://a.example.com", "https://A.example.com:443/key"),
        ("https://a.example.com/keys", "https://a.example.com/keys"),
        ("https://a.example.com/keys", "https://a.example.com/keys/1/key"),
        ("http://a.example.com:8080", "http://a.example.com:8080/key"),
    ],
)
def test_keys_under_an_issuer_are_fetched(issuer: str, where: str) -> None:
    """From the address the bundle names."""
    assert key_address(issuer, where) == where


@pytest.mark.parametrize(
    "where",
    [
        "",
        "key",
        "https://a.example.com/key",
        "https://a.example.com/keysmore/key",
        "https://a.example.com/keys/1/evaluation",
        "https://a.example.com/keys/1/key?x=1",
        "https://a.example.com/keys/1/key#x",
        "https://a.example.com/keys/monkey",
        "https://a.example.com/keys/../private/key",
        "https://a.example.com/keys/%2e%2E/private/key",
        "https://a.example.com/keys/%252e%252e/private/key",
        "https://a.example.com/keys/..%2fprivate/key",
        "https://a.example.com/keys\\..\\private/key",
        "https://a.example.com.attacker.example.com/keys/1/key",
        "https://a.example.com@attacker.example.com/keys/1/key",
        "https://user@a.example.com/keys/1/key",
        "https://attacker.example.com/https://a.example.com/keys/1/key",
        "https://attacker.example.com#https://a.example.com/keys/1/key",
        "http://a.example.com/keys/1/key",
        "https://a.example.com:8443/keys/1/key",
        "https://a.example.com:port/keys/1/key",
        "https://[::1/keys/1/key",
        "https://a.example.com/keys/1/key\r\nhost: b",
        "https://\u0430.example.com/keys/1/key",
        "file:///keys/1/key",
        "HTTPS:a.example.com/keys/1/key",
    ],
)
def test_keys_elsewhere_are_not(where: str) -> None:
    """However much it looks like the issuer."""
    assert key_address("https://a.example.com/keys", where) is None


@pytest.mark.parametrize(
    ("did", "document"),
    [
        ("did:web:a.example.com", "https://a.example.com/.well-known/did.json"),
        ("did:web:a.example.com%3A8443:team:one", "https://a.example.com:8443/team/one/did.json"),
    ],
)
def test_a_did_has_its_document_where_the_method_says(did: str, document: str) -> None:
    """W3C's did:web."""
    assert did_document(did) == document
    assert key_address(did, f"{did}#key-1") == document
    assert key_address(did, document.replace("did.json", "key")) == document
    assert key_address(did, f"{did}:more") is None
    assert key_address(did, "https://b.example.com/key") is None


class DidClient(GuardedClient):
    """Sends what is meant for a DID's https address to a server on loopback."""

    def __init__(self, base: str) -> None:
        super().__init__(NetworkGuard(["127.0.0.1", "localhost"]))
        self._base = base

    def fetch(self, method: str, url: str, **more):
        """Ask the other server."""
        return super().fetch(method, url.replace("https://a.example.com", self._base), **more)


@pytest.mark.parametrize(
    ("where", "good"),
    [
        ("https://a.example.com/policy/x/key", True),
        ("did:web:a.example.com", True),
        ("did:web:a.example.com#right", True),
        ("did:web:a.example.com#other", False),
        ("did:web:a.example.com#none", False),
    ],
)
def test_a_did_document_has_the_keys(
    make_desk: Callable[..., Desk], httpserver: HTTPServer, where: str, good: bool
) -> None:
    """The one that is named, or any."""
    did = "did:web:a.example.com"
    methods = [
        {"id": f"{did}#other", "publicKeyJwk": json.loads(public_jwk("P-256", "other"))},
        {"id": "#right", "publicKeyJwk": json.loads(public_jwk("P-256"))},
    ]
    httpserver.expect_request("/.well-known/did.json").respond_with_json({"id": did, "verificationMethod": methods})
    desk = make_desk(issuers=[Issuer(did)], client=DidClient(httpserver.url_for("").rstrip("/")))

    if good:
        assert vouch(desk, bundle(key_url=where)) == Voucher(did)
    else:
        with pytest.raises(BundleUnverified):
            vouch(desk, bundle(key_url=where))


@pytest.mark.parametrize("document", ["[]", "{}", '{"id": "did:web:a.example.com"}', '{"id": "did:web:b"}', "null"])
def test_a_damaged_did_document_has_no_keys(
    make_desk: Callable[..., Desk], httpserver: HTTPServer, document: str
) -> None:
    """Neither has another's."""
    httpserver.expect_request("/.well-known/did.json").respond_with_data(document)
    desk = make_desk(issuers=[Issuer("did:web:a.example.com")], client=DidClient(httpserver.url_for("").rstrip("/")))

    with pytest.raises(BundleUnverified):
        vouch(desk, bundle(key_url="did:web:a.example.com"))


def test_keys_are_read_from_a_file_each_time(make_desk: Callable[..., Desk], tmp_path: Path) -> None:
    """A new key needs no restart, and a broken file trusts nobody."""
    file = tmp_path / "trusted.json"
    desk = make_desk(file=file)
    with pytest.raises(BundleUnverified):
        vouch(desk, bundle())

    jwk = {**json.loads(public_jwk("P-256")), "name": "peer of ours", "repositories": ["shared"]}
    file.write_text(json.dumps({"keys": [jwk]}))
    assert vouch(desk, bundle()) == Voucher("peer of ours", ("shared",))

    file.write_text("{")
    with pytest.raises(BundleUnverified):
        vouch(desk, bundle())


@pytest.mark.parametrize("more", [{"repositories": "shared"}, {"expires_at": "soon"}, {"expires_at": "2030-01-01"}])
def test_a_file_that_says_odd_things_about_a_key_is_refused(more: dict[str, object]) -> None:
    """A limit that is not understood must not be none."""
    with pytest.raises(UnusableKey, match=next(iter(more))):
        read_trusted(json.dumps({**json.loads(public_jwk("P-256")), **more}), name="file")
