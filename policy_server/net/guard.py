"""Which addresses an outgoing request may connect to.

SECURITY: the decision is made about addresses, never about names, and the
address that was judged is the one that is connected to. A name that changes
its answer between the two (DNS rebinding) gains nothing.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from policy_server.model.errors import FetchError, SettingsError, TargetRefused
from policy_server.net.targets import Targets

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Host name and port to addresses as text; OSError when there are none."""

# NOTE: our own table instead of ``is_global``: that property changed its mind about several blocks
# between patch releases of Python 3.11 and 3.12, and it does not know metadata services.
_REFUSED_V4: Final = tuple(
    (IPv4Network(block), reason)
    for block, reason in (
        ("169.254.169.254/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),  # inside public space, yet only the host answers
        ("100.100.100.200/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a shared (carrier) address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a reserved address"),
        ("198.51.100.0/24", "a reserved address"),
        ("203.0.113.0/24", "a reserved address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_REFUSED_V6: Final = tuple(
    (IPv6Network(block), reason)
    for block, reason in (
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a reserved address"),
        ("3fff::/20", "a reserved address"),
    )
)
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_NAT64: Final = IPv6Network("64:ff9b::/96")


class NetworkGuard:
    """Refuses private and special networks unless they are listed.

    ``allowed`` has networks (``10.1.0.0/16``), addresses, and host names
    whose addresses are allowed whatever they are. ``targets`` narrows all that to
    what they name; None leaves it open.
    """

    def __init__(
        self, allowed: Sequence[str] = (), *, resolve: Resolve | None = None, targets: Targets | None = None
    ) -> None:
        """Read the list; SettingsError names the entry that cannot be read."""
        self._targets = targets
        self._networks: list[Network] = []
        self._hosts: set[str] = set()
        self._resolve = resolve or system_resolve
        for entry in allowed:
            self._allow(entry.strip())

    def addresses(self, host: str, port: int, *, timeout: float) -> tuple[str, ...]:
        """Return the addresses of a host, all of them allowed.

        One forbidden address among them refuses the host: which one a second
        look would meet is up to whoever answers the name. TargetRefused;
        FetchError when the name does not resolve within ``timeout`` seconds.
        """
        name = host.strip("[]").rstrip(".").lower()
        targets = self._targets
        by_address = targets is not None and not targets.names(name)
        if targets is not None and by_address and not targets.have_networks:
            # Not even asked for: a look-up carries the name to whoever answers it.
            raise TargetRefused(targets.refusal(host))
        found = tuple(dict.fromkeys(_within(timeout, self._resolve, host.strip("[]"), port)))
        if not found:
            raise FetchError(f"The name {host} has no address.")
        if targets is not None and by_address and not targets.cover(found):
            raise TargetRefused(targets.refusal(host))
        if name not in self._hosts:
            for text in found:
                self._check(host, text)
        return found

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry))
        except ValueError as error:
            if "/" in entry or not _is_host(entry):
                raise SettingsError(f"{entry!r} in the allowed networks is no network and no host: {error}.") from error
            self._hosts.add(entry.rstrip(".").lower())

    def _check(self, host: str, text: str) -> None:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError as error:
            raise TargetRefused(f"{host} resolves to {text}, which is no address.") from error
        reason = self._reason(address)
        if reason is not None:
            shown = f"{host} is {reason}" if text == host.strip("[]") else f"{host} resolves to {text}, {reason}"
            raise TargetRefused(f"{shown}; POLICY_ALLOWED_NETWORKS does not list it.")

    def _reason(self, address: Address) -> str | None:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # the kernel connects to that IPv4 address
        if any(address in network for network in self._networks):
            return None
        if isinstance(address, IPv4Address):
            return next((reason for block, reason in _REFUSED_V4 if address in block), None)
        embedded = _embedded(address)
        if embedded is not None:
            return self._reason(embedded)
        reason = next((reason for block, reason in _REFUSED_V6 if address in block), None)
        if reason is None and address not in _PUBLIC_V6:
            return "a reserved address"
        return reason


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system, in the order it prefers."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a translating router would forward to."""
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _is_host(text: str) -> bool:
    labels = text.rstrip(".").split(".")
    # An address that lost a digit must not become a host name that never matches.
    letters = any(character.isalpha() for character in labels[-1])
    return letters and all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels)


def _within(timeout: float, resolve: Resolve, host: str, port: int) -> Sequence[str]:
    """Resolve in a thread, because the system's resolver knows no time-out."""
    answer: list[Sequence[str]] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            answer.append(resolve(host, port))
        except (OSError, UnicodeError) as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="resolve", daemon=True)
    thread.start()
    thread.join(max(timeout, 0.0))
    if failure:
        raise FetchError(f"The name {host} cannot be resolved.") from failure[0]
    if not answer:
        raise FetchError(f"The name {host} was not resolved within {timeout:.1f} s.")
    return answer[0]
