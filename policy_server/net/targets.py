"""Which hosts somebody may name at all, before the guard judges where they lead."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from policy_server.model.errors import SettingsError


class Targets:
    """Host names, ``*.example.com`` (names below it), addresses, networks; ``*`` is every name.

    A network covers whatever leads into it, so that names nobody listed are looked up; an
    address stands for itself. ``origin`` is where the list comes from, for messages. SECURITY: a listed name does
    not open a private network; that is for the guard's own list.
    """

    def __init__(self, entries: Iterable[str], *, origin: str) -> None:
        """Read the entries; SettingsError names the one that cannot be read."""
        self._origin = origin
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            self._add(entry.strip().lower())

    @property
    def have_networks(self) -> bool:
        """Whether a name that is not listed can be covered by where it leads."""
        return bool(self._networks)

    def names(self, host: str) -> bool:
        """Tell whether a host (lower case, without a final dot) is listed by its name."""
        return (
            "*" in self._names or _plain(host) in self._names or any(host.endswith(suffix) for suffix in self._suffixes)
        )

    def cover(self, addresses: Sequence[str]) -> bool:
        """Tell whether all these addresses lie in listed networks."""
        return all(self._covers(each) for each in addresses)

    def refusal(self, host: str) -> str:
        """Return the sentence that says why a host is refused, and how to change that."""
        return f"{host} is not a host that policies may reach; {self._origin} does not list it."

    def _add(self, entry: str) -> None:
        if "/" in entry:
            self._networks.append(_network(entry))
        elif entry.startswith("*."):
            self._suffixes.append(entry[1:].rstrip("."))
        else:
            self._names.add(_plain(entry.rstrip(".")))

    def _covers(self, text: str) -> bool:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry, strict=False)
    except ValueError as error:
        raise SettingsError(f"{entry!r} in the list of hosts is no network: {error}.") from error


def _plain(host: str) -> str:
    """Return an address in its one spelling, a name as it is."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host
