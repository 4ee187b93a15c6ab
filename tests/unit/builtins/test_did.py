"""``did_to_url`` and ``url_to_did``."""

import pytest
from extension_calls import Extended

from policy_server.model.errors import BuiltinFailed

PAIRS = [
    ("did:web:example.com", "https://example.com/.well-known/did.json"),
    ("did:web:example.com:user:alice", "https://example.com/user/alice/did.json"),
    ("did:web:localhost%3A8080", "https://localhost:8080/.well-known/did.json"),
    ("did:web:localhost%3A8080:a", "https://localhost:8080/a/did.json"),
]


@pytest.fixture(scope="module")
def ask() -> Extended:
    """Functions without any neighbour."""
    return Extended()


@pytest.mark.parametrize(("did", "url"), PAIRS)
def test_there_and_back(did: str, url: str, ask: Extended) -> None:
    """A DID and the address of its document name each other."""
    assert ask("did_to_url", did) == url
    assert ask("url_to_did", url) == did


@pytest.mark.parametrize(
    ("url", "did"),
    [
        ("https://example.com", "did:web:example.com"),
        ("https://example.com/", "did:web:example.com"),
        ("HTTPS://example.com/a/", "did:web:example.com:a"),
        ("https://example.com//a//b?x=did.json", "did:web:example.com:a:b"),
        ("https://example.com/a/.well-known/did.json", "did:web:example.com:a"),
        ("https://example.com/a%20b/c:d/did.json", "did:web:example.com:a+b:c%3Ad"),
        ("https://me:pw@example.com/a", "did:web:example.com:a"),
        ("https://example.com/~a_b-c.d", "did:web:example.com:~a_b-c.d"),
    ],
)
def test_addresses_become_dids(url: str, did: str, ask: Extended) -> None:
    """What does not count is left out, what cannot stand there is escaped."""
    assert ask("url_to_did", url) == did


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did",
        "did:web",
        "did:web:",
        "did:web::a",
        "did:web:host:",
        "did:key:z6Mk",
        "urn:web:host",
        "did:web:%zz",
        "did:web:a%2Fb",
        "did:web:a%40b",
    ],
)
def test_what_is_no_did_web_is_an_error(did: str, ask: Extended) -> None:
    """Other than the original, which made an address without a host of `did:web:`."""
    with pytest.raises(BuiltinFailed, match="did_to_url: "):
        ask("did_to_url", did)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com",
        "example.com",
        "https://",
        "https:///a",
        "https://h:x/",
        "https://[::1",
        "https://h/%zz",
    ],
)
def test_what_is_no_https_address_is_an_error(url: str, ask: Extended) -> None:
    """Its document could not be fetched."""
    with pytest.raises(BuiltinFailed, match="url_to_did: "):
        ask("url_to_did", url)
