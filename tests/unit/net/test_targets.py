"""Which hosts may be named, and where they may lead."""

import pytest

from policy_server.model.errors import SettingsError, TargetRefused
from policy_server.net.guard import NetworkGuard
from policy_server.net.targets import Targets


@pytest.mark.parametrize(
    ("entries", "host", "listed"),
    [
        (["api.example.com"], "api.example.com", True),
        (["API.Example.com."], "api.example.com", True),
        (["api.example.com"], "example.com", False),
        (["api.example.com"], "evil-api.example.com", False),
        (["*.example.com"], "api.example.com", True),
        (["*.example.com"], "a.b.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "evilexample.com", False),
        (["*"], "anything.test", True),
        (["93.184.216.34"], "93.184.216.34", True),
        (["2606:2800::0001"], "2606:2800::1", True),
        (["93.184.0.0/16"], "93.184.216.34", True),
        (["93.184.0.0/16"], "93.185.0.1", False),
        (["93.184.0.0/16"], "::ffff:93.184.216.34", True),
        ([], "api.example.com", False),
    ],
)
def test_hosts_are_listed_by_name_or_by_where_they_lead(entries: list[str], host: str, listed: bool) -> None:
    """Names, names below one, addresses in any spelling, networks; nothing else."""
    guard = NetworkGuard(
        resolve=lambda name, _port: [name if ":" in name or name[0] == "9" else "93.0.0.1"],
        targets=Targets(entries, origin="LIST"),
    )

    if listed:
        assert guard.addresses(host, 80, timeout=5)
    else:
        with pytest.raises(TargetRefused, match="LIST does not list it"):
            guard.addresses(host, 80, timeout=5)


def test_a_name_that_is_not_listed_is_not_looked_up() -> None:
    """A look-up carries the name to whoever answers it."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.0.0.1"]

    guard = NetworkGuard(resolve=resolve, targets=Targets(["a.example", "93.0.0.1"], origin="LIST"))
    with pytest.raises(TargetRefused):
        guard.addresses("secret.evil.example", 80, timeout=5)

    assert asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"])
@pytest.mark.parametrize("entries", [["*"], ["inside.test"], ["0.0.0.0/0", "::/0"]])
def test_being_listed_does_not_open_private_networks(entries: list[str], address: str) -> None:
    """That takes POLICY_ALLOWED_NETWORKS: a public name that turns inside is refused."""
    guard = NetworkGuard(resolve=lambda *_: [address], targets=Targets(entries, origin="LIST"))

    with pytest.raises(TargetRefused, match="POLICY_ALLOWED_NETWORKS"):
        guard.addresses("inside.test", 80, timeout=5)


def test_all_addresses_have_to_be_covered() -> None:
    """One address outside the listed networks refuses the name."""
    guard = NetworkGuard(resolve=lambda *_: ["93.0.0.1", "94.0.0.1"], targets=Targets(["93.0.0.0/8"], origin="LIST"))

    with pytest.raises(TargetRefused):
        guard.addresses("both.test", 80, timeout=5)


def test_a_network_that_cannot_be_read_is_told() -> None:
    """A typing mistake must not become a name that never matches."""
    with pytest.raises(SettingsError, match=r"10\.0\.0/33"):
        Targets(["10.0.0/33"], origin="LIST")
