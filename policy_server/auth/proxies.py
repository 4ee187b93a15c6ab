"""Finds out whose request it is behind proxies that we trust.

RFC 7239 and MDN describe ``X-Forwarded-For``: every proxy appends the address
it was asked from. What callers send themselves stands to the left of what the
first trusted proxy wrote; only what trusted proxies wrote is believed.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST: Final = 4096
"""Characters of ``X-Forwarded-For`` that are read; hundreds of hops are no honest proxies."""


def parse_address(text: str) -> Address | None:
    """Read an address as proxies write it: with port, in brackets, with quotes or zone; None when it is none."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not _is_port(rest)):
            return None
        text = inside
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_port(text: str) -> bool:
    return text[0] == ":" and text[1:].isascii() and text[1:].isdigit() and len(text) <= 6


class Networks:
    """A list of networks and addresses, IPv4 and IPv6."""

    def __init__(self, entries: Sequence[str]) -> None:
        """Read the list; ValueError when an entry is neither."""
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(entry, strict=False) for entry in entries)

    def __contains__(self, address: object) -> bool:
        """Tell whether an address is in one of them; what is no address is in none."""
        known = isinstance(address, IPv4Address | IPv6Address)
        return known and any(address in network for network in self._networks)


class Proxies:
    """Names the client of a request.

    SECURITY: the addresses are walked from the right, from the peer of the
    socket, as long as they are trusted; the first other one is the client. An entry
    that is no address ends the walk, and the client is unknown.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        """Take the networks of our own proxies."""
        self._trusted = Networks(trusted)

    def is_trusted(self, environ: Mapping[str, object]) -> bool:
        """Tell whether the request came straight from one of our proxies, so that its headers can be believed."""
        return parse_address(str(environ.get("REMOTE_ADDR") or "")) in self._trusted

    def client(self, environ: Mapping[str, object]) -> Address | None:
        """Return the client's address; None when it cannot be known."""
        address = parse_address(str(environ.get("REMOTE_ADDR") or ""))
        if address not in self._trusted:
            return address
        hops = str(environ.get("HTTP_X_FORWARDED_FOR") or "")
        if len(hops) > LONGEST:
            return None
        for hop in reversed(hops.split(",") if hops.strip() else []):
            address = parse_address(hop)
            if address not in self._trusted:
                return address
        return address


class AddressFilter:
    """Lets listed addresses through; an empty list lets nobody."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """Take networks and addresses."""
        self._allowed = Networks(allowed)

    def accepts(self, address: Address | None) -> bool:
        """Tell whether a client may ask; one whose address is unknown may not."""
        return address is not None and address in self._allowed
