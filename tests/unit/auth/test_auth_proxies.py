"""Who asks, behind proxies, and what callers can make up."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.auth.proxies import LONGEST, AddressFilter, Proxies, parse_address

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8", "::1"])


def client(peer: str, forwarded: str | None = None) -> str | None:
    """Return the client of a request."""
    environ = {"REMOTE_ADDR": peer} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded})
    found = PROXIES.client(environ)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "10.0.0.9", "192.0.2.1"),  # nobody trusted says so
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.7", "192.0.2.7"),  # the left one is the caller's own invention
        ("10.0.0.1", "198.51.100.9, 192.0.2.7, 10.9.9.9, fd00::2", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),  # asked by one of ours
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, unknown", None),
        ("10.0.0.1", "192.0.2.7,", None),
        ("10.0.0.1", "garbage, 192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("fd00::1", '"[2001:db8::7]:4711"', "2001:db8::7"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("fd00::1%eth0", "192.0.2.7", "192.0.2.7"),
        ("", "192.0.2.7", None),
        ("unix:", "192.0.2.7", None),
        ("10.0.0.1", "192.0.2.7, " * (LONGEST // 10), None),
    ],
)
def test_the_client_is_the_rightmost_that_is_not_ours(peer: str, forwarded: str | None, expected: str | None) -> None:
    """Only what trusted proxies wrote is believed; what cannot be read makes the caller unknown."""
    assert client(peer, forwarded) == expected


ADDRESSES = st.ip_addresses().map(str)
TEXT = st.text(max_size=40)


@given(st.lists(ADDRESSES | TEXT, max_size=6), ADDRESSES)
def test_nothing_a_caller_writes_changes_who_it_is(invented: list[str], address: str) -> None:
    """Whatever stands to the left of what our proxy wrote."""
    real = parse_address(address)
    assert real is not None
    if str(real) in {"::1"} or address.startswith(("10.", "fd")):
        return

    assert client("10.0.0.1", ", ".join([*invented, address])[-LONGEST:]) == str(real)
    assert client(address, ", ".join(invented)) == str(real)


@given(st.text())
def test_any_header_can_be_read(text: str) -> None:
    """An address or nobody; never a failure."""
    found = PROXIES.client({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": text})

    assert found is None or ip_address(str(found)) == found


@given(st.ip_addresses(), st.integers(0, 65535))
def test_addresses_are_read_in_all_their_spellings(address: object, port: int) -> None:
    """With brackets, quotes, ports and spaces."""
    plain = parse_address(str(address))
    forms = [f" {address} ", f'"{address}"', f"[{address}]", f"[{address}]:{port}", f"[{address}%1]"]
    forms += [f"{address}:{port}"] if ":" not in str(address) else []

    assert plain is not None
    assert {parse_address(form) for form in forms} == {plain}


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "[::1", "[::1]x", "1.2.3", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:123456", "٣.1.1.1"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    """Half an address is not guessed at."""
    assert parse_address(text) is None


def test_listed_addresses_pass() -> None:
    """Single ones and networks of both families; unknown callers never, and an empty list lets nobody through."""
    listed = AddressFilter(["192.0.2.0/24", "2001:db8::1", "198.51.100.7"])
    passes = {
        text: listed.accepts(parse_address(text))
        for text in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1", "198.51.100.7", "198.51.100.8", "2001:db8::2")
    }

    assert list(passes.values()) == [True, True, True, True, False, False]
    assert not listed.accepts(None)
    assert not AddressFilter([]).accepts(parse_address("127.0.0.1"))
