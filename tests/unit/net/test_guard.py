"""Which addresses outgoing requests may meet."""

import threading

import pytest

from policy_server.model.errors import FetchError, SettingsError, TargetRefused
from policy_server.net.guard import NetworkGuard

FORBIDDEN = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "3fff::1",
    "4000::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2002:101:101::1", "64:ff9b::808:808"]


def resolving(*addresses: str) -> NetworkGuard:
    """Make a guard for which every name has these addresses."""
    return NetworkGuard(resolve=lambda _host, _port: addresses)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_inside_addresses_are_refused(address: str) -> None:
    """Nothing that is not the public internet is met by accident."""
    with pytest.raises(TargetRefused, match="POLICY_ALLOWED_NETWORKS"):
        resolving(address).addresses("inside.test", 80, timeout=5)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """The public internet needs no configuration."""
    assert resolving(address).addresses("outside.test", 443, timeout=5) == (address,)


@pytest.mark.parametrize("text", ["127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "0"])
def test_other_spellings_of_loopback_are_refused(text: str) -> None:
    """The system's resolver decides what a spelling means, and that is what is judged."""
    with pytest.raises(TargetRefused):
        NetworkGuard().addresses(text, 80, timeout=5)


def test_one_forbidden_address_refuses_the_host() -> None:
    """A name with a public and a private address is not trusted."""
    with pytest.raises(TargetRefused, match=r"resolves to 10\.0\.0\.1, a private address"):
        resolving("1.1.1.1", "10.0.0.1").addresses("mixed.test", 80, timeout=5)


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("10.1.0.0/16", "10.1.2.3"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1/32", "::ffff:127.0.0.1"),
        ("fd00::/8", "fd12::1"),
        ("169.254.169.254/32", "169.254.169.254"),
        ("Inside.Test", "10.9.9.9"),
        ("64:ff9b::/96", "64:ff9b::7f00:1"),
    ],
)
def test_listed_networks_and_hosts_are_allowed(allowed: str, address: str) -> None:
    """POLICY_ALLOWED_NETWORKS opens exactly what it names."""
    guard = NetworkGuard([allowed], resolve=lambda _host, _port: [address])

    assert guard.addresses("inside.test.", 80, timeout=5) == (address,)


@pytest.mark.parametrize("host", ["other.test", "inside.test.evil.test", "xinside.test"])
def test_a_listed_host_does_not_open_others(host: str) -> None:
    """Only the very name that is listed is trusted."""
    guard = NetworkGuard(["inside.test"], resolve=lambda _host, _port: ["10.0.0.1"])

    with pytest.raises(TargetRefused):
        guard.addresses(host, 80, timeout=5)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0/8", "300.1.1.1", "10.0.0", "a b", "", "host:80", "*.test"])
def test_entries_that_cannot_be_read_are_named(entry: str) -> None:
    """A typing mistake in the list does not go unnoticed."""
    with pytest.raises(SettingsError, match="allowed networks"):
        NetworkGuard([entry])


def test_unknown_names_are_fetch_errors() -> None:
    """A name that does not resolve is the source's problem, not a refusal."""

    def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(FetchError, match="cannot be resolved"):
        NetworkGuard(resolve=resolve).addresses("nowhere.test", 80, timeout=5)


def test_a_resolver_that_hangs_is_left_behind() -> None:
    """A name server that does not answer costs the time-out, not more."""
    free = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        free.wait(30)
        return ["1.1.1.1"]

    with pytest.raises(FetchError, match="not resolved within"):
        NetworkGuard(resolve=resolve).addresses("slow.test", 80, timeout=0.05)
    free.set()
