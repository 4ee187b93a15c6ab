"""Secrets, and what callers show: passwords, certificates, scopes, algorithms."""

from collections.abc import Mapping
from typing import Final

from policy_server.auth.certificates import parse_known
from policy_server.auth.rules import ALGORITHMS
from policy_server.model import secrets
from policy_server.model.principal import parse_grant
from policy_server.notation.kinds import Kind, as_text, items

COVERED: Final = secrets.COVERED
"""What stands in place of a secret."""


class SecretStr:
    """Text that never shows itself by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the text."""
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text, on purpose."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is something, not what."""
        return f"SecretStr('{COVERED}')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, SecretStr) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self._text)


def _credentials(value: object) -> tuple[tuple[str, SecretStr], ...]:
    """Read pairs; where there are several lines each is one pair, so that passwords may hold commas."""
    pairs = []
    for item in items(value.splitlines() if isinstance(value, str) and "\n" in value else value):
        user, colon, password = item.partition(":")
        if not (colon and user and password):
            raise ValueError("user:password, several separated by commas or one a line")
        pairs.append((user, SecretStr(password)))
    return tuple(pairs)


def _algorithms(value: object) -> tuple[str, ...]:
    found = tuple(items(value))
    if not found or not set(found) <= set(ALGORITHMS):
        raise ValueError(f"some of {', '.join(ALGORITHMS)}")
    return found


def _scopes(value: object) -> tuple[str, ...]:
    texts = value.split() if isinstance(value, str) and "," not in value else items(value)
    return tuple(str(parse_grant(text)) for text in texts)


def _certificates(value: object) -> str:
    if isinstance(value, Mapping):
        value = "; ".join(f"{identity} => {scopes}" for identity, scopes in value.items())
    text = as_text(value)
    parse_known(text)
    return text


def _secret(value: object) -> SecretStr | None:
    text = as_text(value)
    return SecretStr(text) if text else None


ALGORITHM_NAMES: Final = Kind("names of algorithms (RFC 7518), separated by commas", _algorithms)
SCOPES: Final = Kind("scopes such as `evaluate` or `read:repository`, separated by spaces", _scopes)
CERTIFICATES: Final = Kind(
    "`subject => scopes`, several separated by `;` or lines (a table in the file)", _certificates
)
SECRET: Final = Kind("text", _secret)
CREDENTIALS: Final = Kind("`user:password`, several separated by commas or one a line", _credentials)
