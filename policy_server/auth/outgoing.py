"""Tokens that we show to others: OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

import base64
import threading
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote_plus, urlencode

import msgspec

from policy_server.model.errors import FetchError
from policy_server.net.client import Fetched

MARGIN: Final = 30.0
"""Seconds before its end at which a token is renewed, at most; half its life when that is less."""

LIFE: Final = 300.0
"""Seconds that a token counts when the issuer does not say."""

LONGEST_LIFE: Final = 86400.0
WAIT: Final = 30.0
LONGEST: Final = 16384


class Sender(Protocol):
    """The little of the guarded client that is needed."""

    def fetch(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Fetched:
        """Send one request."""


class _Answer(msgspec.Struct):
    access_token: str
    token_type: str = "bearer"  # noqa: S105 - a word of the protocol
    expires_in: float | None = None


class ClientCredentials:
    """Gets a token when one is needed, keeps it until shortly before its end; one fetch at a time.

    ``elapsed`` is a clock that only goes forward, in seconds.
    """

    def __init__(
        self,
        client: Sender,
        *,
        url: str,
        client_id: str,
        client_secret: str,
        scope: str = "",
        elapsed: Callable[[], float],
    ) -> None:
        """Take the issuer and our credentials; nothing is fetched yet."""
        self._client = client
        self._url = url
        self._body = urlencode({"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})).encode()
        # RFC 6749, 2.3.1: both are encoded as in forms before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()
        self._basic = f"Basic {base64.b64encode(pair).decode()}"
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._token: tuple[str, float] | None = None

    def header(self) -> str:
        """Return the value of an Authorization header; FetchError, TargetRefused when no token can be had."""
        token = self._good()
        if token is not None:
            return token
        if not self._lock.acquire(timeout=WAIT):
            raise FetchError("No token for outgoing requests came in time.")
        try:
            return self._good() or self._fetch()
        finally:
            self._lock.release()

    def forget(self, header: str) -> None:
        """Drop a token that somebody refused, so that the next request gets another."""
        with self._lock:
            if self._token is not None and self._token[0] == header:
                self._token = None

    def _good(self) -> str | None:
        kept = self._token
        return kept[0] if kept is not None and self._elapsed() < kept[1] else None

    def _fetch(self) -> str:
        headers = {
            "Authorization": self._basic,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        answer = self._client.fetch("POST", self._url, body=self._body, headers=headers)
        # SECURITY: what the issuer says is not repeated; it may hold a token.
        if answer.status != 200:
            raise FetchError(f"The issuer of tokens (OAUTH_TOKEN_URL) answers {answer.status}.")
        try:
            told = msgspec.json.decode(answer.body, type=_Answer)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
            raise FetchError("The issuer of tokens (OAUTH_TOKEN_URL) does not answer with a token.") from None
        token = told.access_token
        if told.token_type.lower() != "bearer" or not token.isascii() or not token.isprintable() or " " in token:
            raise FetchError("The issuer of tokens (OAUTH_TOKEN_URL) answers with no bearer token.")
        if not 0 < len(token) <= LONGEST:
            raise FetchError("The issuer of tokens (OAUTH_TOKEN_URL) answers with a token of no usable length.")
        life = LIFE if told.expires_in is None else min(max(told.expires_in, 0.0), LONGEST_LIFE)
        self._token = (f"Bearer {token}", self._elapsed() + life - min(MARGIN, life / 2))
        return self._token[0]
