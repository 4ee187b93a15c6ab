"""Client certificates that a proxy has checked."""

import pytest

from policy_server.auth.certificates import Certificates, parse_known
from policy_server.auth.proxies import Proxies
from policy_server.model.principal import Grant, Role

PRINT = "ab" * 32
COLONS = ":".join(["AB"] * 32)
KNOWN = parse_known(f"CN=gateway,O=Example => evaluate read:mine; sha256:{PRINT} => admin")
PROXY = {"REMOTE_ADDR": "10.0.0.5"}


@pytest.fixture
def certificates() -> Certificates:
    """Two certificates, one by subject and one by fingerprint, told by one proxy."""
    return Certificates(
        KNOWN,
        Proxies(["10.0.0.5"]),
        subject_header="X-Client-Cert-Subject",
        fingerprint_header="X-Client-Cert-Fingerprint",
    )


def test_a_subject_that_the_proxy_names_is_known(certificates: Certificates) -> None:
    """With what the setting grants it."""
    principal = certificates.identify({**PROXY, "HTTP_X_CLIENT_CERT_SUBJECT": "CN=gateway,O=Example"})

    assert principal is not None
    assert (principal.name, principal.grants) == (
        "cert:CN=gateway,O=Example",
        (Grant(Role.EVALUATE), Grant(Role.READ, "mine")),
    )


@pytest.mark.parametrize("text", [PRINT, PRINT.upper(), COLONS, f"sha256:{PRINT}", f"SHA-256={COLONS}"])
def test_fingerprints_are_read_in_all_their_spellings(certificates: Certificates, text: str) -> None:
    """Colons, case and prefix do not matter."""
    principal = certificates.identify({**PROXY, "HTTP_X_CLIENT_CERT_FINGERPRINT": text})

    assert principal is not None
    assert principal.name == f"cert:sha256:{PRINT}"


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.6", "", "127.0.0.1"])
def test_headers_of_anybody_else_are_not_believed(certificates: Certificates, peer: str) -> None:
    """Not even when X-Forwarded-For names the proxy."""
    headers = {"HTTP_X_CLIENT_CERT_SUBJECT": "CN=gateway,O=Example", "HTTP_X_CLIENT_CERT_FINGERPRINT": PRINT}

    assert certificates.identify({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "10.0.0.5", **headers}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HTTP_X_CLIENT_CERT_SUBJECT": ""},
        {"HTTP_X_CLIENT_CERT_SUBJECT": "CN=gateway"},
        {"HTTP_X_CLIENT_CERT_SUBJECT": "CN=gateway,O=Example,CN=gateway,O=Example"},
        {"HTTP_X_CLIENT_CERT_SUBJECT": PRINT},  # a common name that looks like another's fingerprint
        {"HTTP_X_CLIENT_CERT_SUBJECT": f"sha256:{PRINT}"},
        {"HTTP_X_CLIENT_CERT_FINGERPRINT": "CN=gateway,O=Example"},
        {"HTTP_X_CLIENT_CERT_FINGERPRINT": PRINT[:40]},
    ],
)
def test_certificates_that_are_not_listed_are_nobodys(certificates: Certificates, headers: dict[str, str]) -> None:
    """No part of a subject and no other kind of name counts."""
    assert certificates.identify({**PROXY, **headers}) is None


@pytest.mark.parametrize("text", ["CN=x", "=> read", "CN=x =>", "CN=x => reed", "CN=x => read:"])
def test_settings_that_cannot_be_read_are_refused(text: str) -> None:
    """A typing mistake grants nothing."""
    with pytest.raises(ValueError, match=r"scope|repository"):
        parse_known(text)
