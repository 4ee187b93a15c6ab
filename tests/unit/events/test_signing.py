"""Messages are signed as Standard Webhooks says."""

import base64
import hashlib
import subprocess
from datetime import UTC, datetime

import pytest

from policy_server.events import signing

AT = datetime(2026, 3, 1, 12, 0, 0, 999999, tzinfo=UTC)


def openssl_hmac(key: bytes, text: bytes) -> str:
    """Compute HMAC-SHA256 with OpenSSL's program."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    return base64.b64encode(done.stdout).decode()


@pytest.mark.parametrize("body", [b'{"a":1}', b"", "ünï".encode()])
def test_the_signature_is_the_one_that_another_program_computes(body: bytes) -> None:
    """HMAC-SHA256 over id, time in whole seconds and body, joined by dots."""
    secret = signing.new_secret()

    sent = signing.headers("msg_1", body, secret=secret, at=AT)

    key = base64.b64decode(secret.removeprefix("whsec_"))
    seconds = int(AT.timestamp())
    assert sent == {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": "v1," + openssl_hmac(key, f"msg_1.{seconds}.".encode() + body),
    }


def test_the_signature_is_the_one_of_the_definition() -> None:
    """RFC 2104, step by step: two hashes with the key in two pads."""
    key = b"k" * 32
    secret = "whsec_" + base64.b64encode(key).decode()

    sent = signing.headers("m", b"body", secret=secret, at=AT)

    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + f"m.{int(AT.timestamp())}.body".encode())
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner.digest())
    assert sent["webhook-signature"] == "v1," + base64.b64encode(outer.digest()).decode()


def test_secrets_are_long_and_never_the_same() -> None:
    """The specification wants 24 to 64 random bytes."""
    drawn = {signing.new_secret() for _ in range(50)}

    assert len(drawn) == 50
    assert {len(base64.b64decode(each.removeprefix("whsec_"))) for each in drawn} == {32}


def test_who_has_no_secret_gets_no_signature() -> None:
    """Subscribers of the original service have none."""
    assert set(signing.headers("m", b"", secret=None, at=AT)) == {"webhook-id", "webhook-timestamp"}
