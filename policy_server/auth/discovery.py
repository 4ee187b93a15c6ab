"""Where issuers publish their keys: at a known address, or where they say (OpenID Connect Discovery 1.0, section 4)."""

from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from policy_server.model.errors import FetchError
from policy_server.net.client import Fetched

_WELL_KNOWN: Final = "/.well-known/openid-configuration"


class Getter(Protocol):
    """The little of the guarded client that is needed."""

    def fetch(self, method: str, url: str, *, headers: dict[str, str] | None = None) -> Fetched:
        """Send one request."""


class _Document(msgspec.Struct):
    issuer: str
    jwks_uri: str


def fetch_keys(client: Getter, url: str) -> bytes:
    """Return the JWKS at an address; FetchError, TargetRefused when there is none."""
    return _fetch(client, url, "keys")


def discover_keys(client: Getter, issuer: str) -> bytes:
    """Return the JWKS that an issuer's discovery document names; FetchError, TargetRefused when there is none.

    SECURITY: the document must be the issuer's own (section 4.3), and may not lead from https to http. Its key address
    is fetched by the same guarded client, so it leads into no private network that the operator did not name.
    """
    url = issuer.rstrip("/") + _WELL_KNOWN
    try:
        found = msgspec.json.decode(_fetch(client, url, "discovery document"), type=_Document)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise FetchError(f"{url} is no discovery document.") from error
    if found.issuer != issuer:
        raise FetchError(f"{url} is the document of another issuer.")
    allowed = {"https"} if urlsplit(issuer).scheme == "https" else {"https", "http"}
    if urlsplit(found.jwks_uri).scheme not in allowed:
        raise FetchError(f"{url} does not name an https address of keys.")
    return fetch_keys(client, found.jwks_uri)


def _fetch(client: Getter, url: str, what: str) -> bytes:
    answer = client.fetch("GET", url, headers={"Accept": "application/json"})
    if answer.status != 200:
        raise FetchError(f"The issuer's {what} cannot be fetched: {url} answers {answer.status}.")
    return answer.body
