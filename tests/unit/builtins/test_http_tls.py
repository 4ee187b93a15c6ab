"""``http.send``: who is trusted, who we are, and where certificates may come from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from asked_sites import LOOPBACK, Asked, Site
from authority import Authority, make_authority, openssl
from werkzeug import Response

INTERNAL, NETWORK = "eval_http_send_internal_error", "eval_http_send_network_error"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority, a server's certificate for 127.0.0.1 and name.test, and a client's."""
    return make_authority(tmp_path_factory.mktemp("authority"))


def test_unknown_certificates_are_not_accepted(http: Asked, sites: Callable[..., Site], authority: Authority) -> None:
    """Nobody is trusted but the usual authorities, unless the request says so."""
    site = sites(tls=authority.server())

    error = http(site.url, raise_error=False)["error"]

    assert error["code"] == NETWORK
    assert "certificate is not valid" in error["message"]
    assert site.seen == []


@pytest.mark.parametrize("mangle", [lambda text: text, lambda text: text.replace("\n", "\\n")])
@pytest.mark.parametrize("system", [{}, {"tls_use_system_certs": True}, {"tls_use_system_certs": False}])
def test_an_authority_may_be_named(
    http: Asked,
    sites: Callable[..., Site],
    authority: Authority,
    mangle: Callable[[str], str],
    system: dict[str, object],
) -> None:
    """tls_ca_cert takes PEM, also with its line ends escaped; beside the usual authorities or alone."""
    site = sites(tls=authority.server())

    assert http(site.url, tls_ca_cert=mangle(authority.text("ca.pem")), **system)["status_code"] == 200


def test_verification_can_be_switched_off(http: Asked, sites: Callable[..., Site], authority: Authority) -> None:
    """tls_insecure_skip_verify trusts everybody, for this request only."""
    site = sites(tls=authority.server())

    assert http(site.url, tls_insecure_skip_verify=True)["status_code"] == 200
    assert http(site.url) is None


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({"tls_server_name": "name.test"}, 200),
        ({"tls_server_name": "other.test"}, 0),
        ({"headers": {"Host": "name.test"}}, 200),
        ({"headers": {"host": "name.test:8443"}}, 200),
        ({"headers": {"Host": "other.test"}}, 0),
        ({"headers": {"Host": "other.test"}, "tls_server_name": "name.test"}, 200),
    ],
)
def test_the_certificate_must_have_the_name_that_was_asked_for(
    http: Asked, sites: Callable[..., Site], authority: Authority, keys: dict[str, object], status: int
) -> None:
    """tls_server_name, else the Host header, else the address's own host."""
    site = sites(tls=authority.server())

    assert http(site.url, tls_ca_cert=authority.text("ca.pem"), raise_error=False, **keys)["status_code"] == status


def test_we_can_show_a_certificate(http: Asked, sites: Callable[..., Site], authority: Authority) -> None:
    """With certificate and key we are known; with one of them alone, as in OPA, we show nothing."""
    site = sites(tls=authority.server(wants_client=True))
    trusted = {"tls_ca_cert": authority.text("ca.pem"), "raise_error": False}
    certificate, key = authority.text("client.pem"), authority.text("client.key")

    assert http(site.url, **trusted, tls_client_cert=certificate, tls_client_key=key)["status_code"] == 200
    assert http(site.url, **trusted, tls_client_cert=certificate)["status_code"] == 0
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tls_ca_cert": "nonsense"}, "certificate authority that was given is not a PEM"),
        ({"tls_client_cert": "nonsense", "tls_client_key": "nonsense"}, "certificate and its key cannot be used"),
    ],
)
def test_texts_that_are_no_certificates_are_told(http: Asked, keys: dict[str, object], message: str) -> None:
    """An error of the request, before anything is sent."""
    error = http("https://127.0.0.1:1/", raise_error=False, **keys)["error"]

    assert error["code"] == INTERNAL
    assert message in error["message"]


def test_a_key_with_a_password_does_not_ask_for_it(http: Asked, authority: Authority, tmp_path: Path) -> None:
    """A server has no terminal to be asked on."""
    locked = tmp_path / "locked.key"
    openssl(tmp_path, "ec", "-in", authority.path("client.key"), "-aes256", "-passout", "pass:x", "-out", str(locked))

    keys = {"tls_client_cert": authority.text("client.pem"), "tls_client_key": locked.read_text()}

    assert "cannot be used together" in http("https://127.0.0.1:1/", raise_error=False, **keys)["error"]["message"]


def test_listed_files_and_variables_are_read(sites: Callable[..., Site], authority: Authority) -> None:
    """An operator may keep certificates out of policies."""
    site = sites(tls=authority.server(wants_client=True))
    variables = {"CERT": authority.text("client.pem"), "KEY": authority.text("client.key")}
    http = Asked(replace(LOOPBACK, tls_files=(authority.folder,), tls_env=variables))

    by_file = http(
        site.url,
        tls_ca_cert_file=authority.path("ca.pem"),
        tls_client_cert_file=authority.path("client.pem"),
        tls_client_key_file=authority.path("client.key"),
    )
    by_variable = http(
        site.url,
        tls_ca_cert=authority.text("ca.pem"),
        tls_client_cert_env_variable="CERT",
        tls_client_key_env_variable="KEY",
    )

    assert (by_file["status_code"], by_variable["status_code"]) == (200, 200)


def test_nothing_else_is_read(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the environment, not files beside the listed ones, not through links or ..; existence is not told."""
    monkeypatch.setenv("SECRET_CA", authority.text("ca.pem"))
    listed = tmp_path / "listed"
    listed.mkdir()
    (listed / "link.pem").symlink_to(authority.path("ca.pem"))
    http = Asked(replace(LOOPBACK, tls_files=(listed,)))

    def message(**keys: object) -> str:
        found = http("https://127.0.0.1:1/", raise_error=False, **keys)
        assert found["error"]["code"] == INTERNAL
        return str(found["error"]["message"])

    assert "POLICY_HTTP_SEND_TLS_ENV does not list 'SECRET_CA'" in message(tls_ca_cert_env_variable="SECRET_CA")
    for path in ("/etc/passwd", "/no/such", f"{listed}/link.pem", f"{listed}/../x", str(tmp_path), "\0", "listed"):
        assert "POLICY_HTTP_SEND_TLS_FILES does not list" in message(tls_ca_cert_file=path)
    assert "cannot be read, or is not PEM" in message(tls_ca_cert_file=f"{listed}/absent.pem")


def test_redirects_to_https_trust_the_same(http: Asked, sites: Callable[..., Site], authority: Authority) -> None:
    """What a request says about TLS holds wherever a redirect leads."""
    secure = sites(tls=authority.server())
    plain = sites()
    plain.answer = lambda _request, _count: Response("", 302, headers={"Location": secure.url})

    assert http(plain.url, enable_redirect=True) is None
    found = http(plain.url, enable_redirect=True, tls_ca_cert=authority.text("ca.pem"))
    assert found["status_code"] == 200
