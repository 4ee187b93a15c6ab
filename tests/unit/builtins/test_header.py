"""The caller's headers."""

import pytest

from policy_server.builtins.call import Call
from policy_server.builtins.header import canonical, header


def _ask(name: str, headers: dict[str, str]) -> object:
    return header.function(Call(headers, 0, 0.0), name)


@pytest.mark.parametrize("asked", ["X-Cache-Key", "x-cache-key", "X-CACHE-KEY", "x-Cache-kEY"])
@pytest.mark.parametrize("given", ["X-Cache-Key", "x-cache-key", "X-CACHE-KEY"])
def test_both_names_are_made_canonical(asked: str, given: str) -> None:
    """How a name is written does not matter on either side."""
    assert _ask(asked, {"Accept": "no", given: "yes"}) == "yes"


@pytest.mark.parametrize("asked", ["X-Other", "", "x cache", "é", "\ud800"])
def test_an_unknown_header_is_empty(asked: str) -> None:
    """A header that was not sent is an empty string, never undefined."""
    assert _ask(asked, {"X-Cache-Key": "yes"}) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accept", "Accept"),
        ("dNT", "Dnt"),
        ("www-authenticate", "Www-Authenticate"),
        ("x--y", "X--Y"),
        ("x_y", "X_y"),
        ("with space", "with space"),
        ("größe", "größe"),
        ("", ""),
    ],
)
def test_canonical_names_are_gos(name: str, expected: str) -> None:
    """Names are written as Go writes them, and left alone when no header can have them."""
    assert expected == canonical(name)
