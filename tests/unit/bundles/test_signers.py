"""The signer service and the key in a file."""

import base64
import json
import logging
from pathlib import Path

import pytest
from bundle_samples import KINDS, pem, private, public_jwk
from fake_signer import NAMES, run_signer
from pytest_httpserver import HTTPServer

from policy_server.bundles.signatures import sign, verifies
from policy_server.bundles.signers import LocalSigner, NoSigner, RemoteSigner, Signer
from policy_server.jose import jws
from policy_server.jose.keys import from_jwk, thumbprint, to_jwk
from policy_server.model.bundle import SigningKey
from policy_server.model.errors import SigningFailed
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

DIGEST = b"d" * 32


def remote(url: str, *allowed: str) -> Signer:
    """Return a signer at an address."""
    return RemoteSigner(url, GuardedClient(NetworkGuard(allowed or ["127.0.0.1", "localhost"]), max_bytes=1 << 16))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_signer_service_signs(httpserver: HTTPServer, name: str, kind: str) -> None:
    """What it signs is verified by the key it shows."""
    signer, key = remote(run_signer(httpserver)), SigningKey("transit", name)

    jwk, signature = signer.public_key(key), signer.sign(key, DIGEST)

    assert jwk == json.loads(public_jwk(kind, "signer"))
    assert verifies(from_jwk(jwk), DIGEST, signature)


def test_the_signer_service_is_asked_as_the_original_asks(httpserver: HTTPServer) -> None:
    """POST /v1/sign with key, namespace and the digest in base64."""
    remote(run_signer(httpserver)).sign(SigningKey("transit", "ed"), DIGEST)

    ((request, _),) = httpserver.log
    assert (request.method, request.path) == ("POST", "/v1/sign")
    assert json.loads(request.data) == {
        "key": "ed",
        "namespace": "transit",
        "data": "ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ=",
    }


def test_a_group_of_keys_is_named_where_the_policy_names_one(httpserver: HTTPServer) -> None:
    """Signers of version 2 want it: in the body, also of the GET request."""
    httpserver.expect_request("/v1/sign").respond_with_json({"signature": "eA=="})
    httpserver.expect_request("/v1/jwk/n/k").respond_with_json({"kty": "EC"})
    signer, key = remote(httpserver.url_for("")), SigningKey("n", "k", "")

    signer.sign(key, b"x")
    signer.public_key(key)

    first, second = (json.loads(request.data) for request, _ in httpserver.log)
    assert (first, second) == ({"key": "k", "namespace": "n", "data": "eA==", "group": ""}, {"group": ""})


def test_a_refusal_of_the_signer_is_passed_on(httpserver: HTTPServer) -> None:
    """With its status and its words."""
    with pytest.raises(SigningFailed, match=r"^error getting key: no such key$") as caught:
        remote(run_signer(httpserver)).public_key(SigningKey("transit", "other"))

    assert caught.value.status == 404


def test_names_of_keys_stay_in_their_place(httpserver: HTTPServer) -> None:
    """A policy's author cannot reach other addresses of the signer."""
    httpserver.expect_request("/v1/jwk/..%2F..%2Fadmin/x%3Fy").respond_with_data("{}")

    with pytest.raises(SigningFailed):
        remote(httpserver.url_for("")).public_key(SigningKey("../../admin", "x?y"))

    ((request, _),) = httpserver.log
    assert request.environ["RAW_URI"] == "/v1/jwk/..%2F..%2Fadmin/x%3Fy"


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b"{}", b'{"signature": 7}', b'{"signature": "?"}', b'{"signature": ""}']
)
def test_an_answer_without_a_signature_is_an_error(httpserver: HTTPServer, answer: bytes) -> None:
    """Never an unsigned bundle."""
    httpserver.expect_request("/v1/sign").respond_with_data(answer)

    with pytest.raises(SigningFailed):
        remote(httpserver.url_for("")).sign(SigningKey("transit", "ec"), DIGEST)


def test_a_signer_that_is_away_is_told_without_its_address(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks for an export need not know where it is; the log says it."""
    with pytest.raises(SigningFailed, match=r"^the signer cannot be reached$"):
        remote("http://127.0.0.1:1").sign(SigningKey("transit", "ec"), DIGEST)

    assert "127.0.0.1:1" in caplog.text


def test_no_signer_is_said() -> None:
    """In the words of the original."""
    for ask in (
        NoSigner().public_key,
        lambda key: NoSigner().sign(key, DIGEST),
        lambda key: NoSigner().token(key, {}),
    ):
        with pytest.raises(SigningFailed, match=r"^signer address is not set$") as caught:
            ask(SigningKey("a", "b"))
        assert caught.value.status == 503


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_a_file_signs(tmp_path: Path, kind: str) -> None:
    """Whatever namespace and key a policy names."""
    file = tmp_path / "key.pem"
    file.write_text(pem(kind))
    signer, key = LocalSigner(file), SigningKey("any", "any")

    jwk, signature = signer.public_key(key), signer.sign(key, DIGEST)

    assert jwk == to_jwk(private(kind).public_key())
    assert verifies(from_jwk(jwk), DIGEST, signature)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_a_file_signs_tokens(tmp_path: Path, kind: str) -> None:
    """Named by its thumbprint."""
    (tmp_path / "key.pem").write_text(pem(kind))

    token = jws.read_compact(LocalSigner(tmp_path / "key.pem").token(SigningKey("any", "any"), {"a": 1}))

    public = private(kind).public_key()
    assert (token.key_id, json.loads(token.payload)) == (thumbprint(public), {"a": 1})
    assert jws.verifies(public, token)


@pytest.mark.parametrize(
    ("jwk", "signature"),
    [
        (public_jwk("P-384"), sign(private("P-384"), b"x")),
        (public_jwk("P-256"), b"no signature"),
        (public_jwk("Ed25519"), b"x" * 64),
        (public_jwk("RSA"), sign(private("RSA"), b"something else")),
        ("{}", b"x"),
    ],
    ids=["P-384", "P-256", "Ed25519", "RSA", "no key"],
)
def test_a_signer_that_signs_no_tokens_is_told(httpserver: HTTPServer, jwk: str, signature: bytes) -> None:
    """Nothing leaves that nobody could verify; P-384 goes with SHA-384, and the service has SHA-256."""
    httpserver.expect_request("/v1/jwk/n/k").respond_with_data(jwk)
    answer = {"signature": base64.b64encode(signature).decode()}
    httpserver.expect_request("/v1/sign").respond_with_json(answer)

    with pytest.raises(SigningFailed, match="signs no tokens"):
        remote(httpserver.url_for("")).token(SigningKey("n", "k"), {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"kty": "OKP", "crv": "Ed25519", "x": "c2VjcmV0", "d": "c2VjcmV0"}',
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n",
    ],
)
def test_a_broken_key_file_is_told_without_its_content(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the message nor a cause that is logged with it quotes the key."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "key.pem"
    file.write_text(text)

    with pytest.raises(SigningFailed, match="POLICY_BUNDLE_KEY") as caught:
        LocalSigner(file).sign(SigningKey("a", "b"), DIGEST)

    logging.getLogger("test").error("failed", exc_info=caught.value)
    assert "c2VjcmV0" not in caplog.text


def test_a_key_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Only exports fail."""
    with pytest.raises(SigningFailed, match="cannot be read"):
        LocalSigner(tmp_path / "none.pem").public_key(SigningKey("a", "b"))
