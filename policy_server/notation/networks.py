"""Addresses: of machines, networks, services and stores."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from policy_server.notation.kinds import Kind, as_text, items

STORES: Final = ("sqlite:///", "postgresql://", "postgres://", "mongodb://", "mongodb+srv://")
"""How addresses of stores begin, besides ``memory:``."""

_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")


def _networks(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    for item in found:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            if "/" in item or _HOST.fullmatch(item) is None:
                raise ValueError("networks (10.0.0.0/8, fd00::/8) or host names, separated by commas") from error
    return found


def _hosts(value: object) -> tuple[str, ...]:
    """Read networks and names, and ``*`` alone or as the first label."""
    found = tuple(items(value))
    try:
        _networks([item.removeprefix("*.") for item in found if item != "*"])
    except ValueError as error:
        raise ValueError("host names, *.example.com, * or networks (10.0.0.0/8), separated by commas") from error
    return found


def _issuers(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    wanted = "addresses or did:web names, each with =repository|repository if it may write only those"
    if isinstance(value, Mapping):
        value = [f"{name}={'|'.join(items(listed))}" for name, listed in value.items()]
    found = []
    for item in items(value):
        name, _, listed = (part.strip() for part in item.partition("="))
        parts = urlsplit(name)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        if not is_url and not re.fullmatch(r"did:web:[A-Za-z0-9.%-]+(:[A-Za-z0-9._%-]+)*", name):
            raise ValueError(wanted)
        found.append((name, tuple(part.strip() for part in listed.split("|") if part.strip())))
    return tuple(found)


def _url(value: object) -> str:
    text = as_text(value).rstrip("/")
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("an address such as https://policy.example.com")
    if "@" in parts.netloc:  # addresses are shown
        raise ValueError("an address without user and password")
    return text


def _sinks(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    for item in found:
        parts = urlsplit(item)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("http or https addresses, separated by commas")
    return found


def _nats(value: object) -> tuple[str, ...]:
    """Read the servers of one cluster; a bare ``host:port`` is what the policy service took too."""
    found = tuple(item if "://" in item else f"nats://{item}" for item in items(value))
    for item in found:
        parts = urlsplit(item)
        if parts.scheme not in {"nats", "tls"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("nats://host:port or tls://host:port, several separated by commas")
    return found


def _storage(value: object) -> str:
    text = as_text(value)
    if text not in {"", "memory:"} and not any(text.startswith(kind) and text != kind for kind in STORES):
        raise ValueError("empty, memory:, sqlite:///path, postgresql://user:password@host/database or mongodb://…")
    return text


def _address(value: object) -> str:
    text = as_text(value)
    _host, colon, port = text.rpartition(":")
    if text and not (colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("empty, or host:port (:2112 listens everywhere)")
    return text


def _host(value: object) -> str:
    text = as_text(value).strip("[]")
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        if text and _HOST.fullmatch(text) is None:
            raise ValueError("an address or a host name; empty means all interfaces") from error
    return text


def _urls(value: object) -> tuple[str, ...]:
    return tuple(_url(item) for item in items(value))


def _addresses(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    try:
        for item in found:
            ipaddress.ip_network(item, strict=False)
    except ValueError as error:
        raise ValueError("addresses or networks (10.0.0.0/8, fd00::/8), separated by commas") from error
    return found


URLS: Final = Kind("`http://` or `https://` addresses, separated by commas", _urls)
ADDRESSES: Final = Kind("addresses or networks (`10.0.0.0/8`), separated by commas", _addresses)
NETWORKS: Final = Kind("networks (`10.0.0.0/8`) or host names, separated by commas", _networks)
HOSTS: Final = Kind("host names, `*.example.com`, networks or `*`, separated by commas", _hosts)
ISSUERS: Final = Kind(
    "`https://…` or `did:web:…`, separated by commas; `=repository|repository` after one names what it may write "
    "(a table of lists in the file)",
    _issuers,
)
URL: Final = Kind("an `http://` or `https://` address, or empty", _url)
SINKS: Final = Kind("`http://` or `https://` addresses, separated by commas", _sinks)
NATS: Final = Kind("`nats://host:port` or `tls://host:port`, several separated by commas", _nats)
ADDRESS: Final = Kind("`host:port`, or empty", _address)
HOST: Final = Kind("an address or a host name; empty means all interfaces", _host)
STORAGE: Final = Kind(
    "empty, `sqlite:///path`, `postgresql://user:password@host:port/database`, `mongodb://host:port/database` "
    "or `memory:`",
    _storage,
)
