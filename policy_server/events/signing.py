"""Signs what is sent, as Standard Webhooks describes it."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
_BYTES: Final = 32  # the specification wants 24 to 64


def new_secret() -> str:
    """Draw a secret: ``whsec_`` and 32 random bytes in Base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers(message: str, body: bytes, *, secret: str | None, at: datetime) -> Mapping[str, str]:
    """Return id, time and, where there is a secret, signature of a message.

    Subscribers that the original service made have no secret; what they get is not signed.
    """
    timestamp = str(int(at.timestamp()))
    named = {"webhook-id": message, "webhook-timestamp": timestamp}
    if secret is None:
        return named
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {**named, "webhook-signature": "v1," + base64.b64encode(signed).decode()}
