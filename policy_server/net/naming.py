"""Addresses that somebody types, judged before they are kept."""

from typing import Final
from urllib.parse import urlsplit

from policy_server.model.errors import FetchError, InvalidParameter
from policy_server.net.guard import NetworkGuard

_LOOKUP: Final = 3.0
_PORTS: Final = {"http": 80, "https": 443}


def check_address(guard: NetworkGuard, url: str, *, named: str) -> None:
    """Refuse an address that could never be asked; ``named`` is what whoever types it calls it.

    SECURITY: a help for him; every request is judged again.

    Raises:
        InvalidParameter: it is not an http or https address.
        TargetRefused: it is in a network that may not be reached.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameter(f"{named} cannot be read") from error
    if scheme not in _PORTS or not host:
        raise InvalidParameter(f"{named} must be an http or https address with a host")
    try:
        guard.addresses(host, port or _PORTS[scheme], timeout=_LOOKUP)
    except FetchError:
        return  # a name that is not known yet may be later
