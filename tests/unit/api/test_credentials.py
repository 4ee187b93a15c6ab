"""HTTP Basic for Pexip."""

import base64

import pytest

from policy_server.api.credentials import Credentials

PAIRS = (("pexip", "old-secret"), ("pexip", "new-secret"), ("zoë", "pa:ss"))


def basic(user: str, password: str) -> str:
    """Write an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(("user", "password"), PAIRS)
def test_every_configured_user_may_ask(user: str, password: str) -> None:
    """Several credentials work side by side, so that they can be rotated; colons and UTF-8 are fine."""
    assert Credentials(PAIRS, realm="r").accept(basic(user, password))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic \xff",
        "Bearer " + base64.b64encode(b"pexip:old-secret").decode(),
        basic("pexip", "wrong"),
        basic("pexip", ""),
        basic("", ""),
        basic("pexip", "old-secret ") + "x",
    ],
)
def test_everybody_else_is_refused(header: str | None) -> None:
    """A missing, broken or wrong header is never an error, only a no."""
    assert not Credentials(PAIRS, realm="r").accept(header)


def test_the_scheme_may_be_written_in_any_case() -> None:
    """``basic`` means ``Basic``."""
    assert Credentials(PAIRS, realm="r").accept(basic("pexip", "old-secret").replace("Basic", "bASIC"))


def test_without_credentials_everybody_may_ask() -> None:
    """No configured user means an open server."""
    assert Credentials((), realm="r").accept(None)
