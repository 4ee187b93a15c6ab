"""Reads query parameters the way the policy service does: an empty value counts as absent."""

from datetime import UTC, datetime
from typing import Final

import falcon

from policy_server.api.request import refused

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def text(req: falcon.Request, name: str) -> str | None:
    """Return the first value of a parameter; absent or empty: None."""
    value = req.params.get(name)
    if isinstance(value, list):
        value = value[0]
    return value or None


def boolean(req: falcon.Request, name: str) -> bool | None:
    """Return a truth value; absent or empty: None, another word: InvalidParameter."""
    value = text(req, name)
    if value is None:
        return None
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise refused(name, f'invalid value "{value}" for "{name}", must be a boolean')


def integer(req: falcon.Request, name: str, *, least: int, most: int) -> int | None:
    """Return a whole number in a range; absent or empty: None, anything else: InvalidParameter."""
    value = text(req, name)
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 9 and least <= int(value) <= most:
        return int(value)
    raise refused(name, f'invalid value "{value}" for "{name}", must be an integer from {least} to {most}')


def moment(req: falcon.Request, name: str) -> datetime | None:
    """Return a time, in UTC when it names no zone; absent or empty: None, anything else: InvalidParameter."""
    value = text(req, name)
    if value is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        at = datetime.fromisoformat(value.replace(" ", "+"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise refused(
            name, f'invalid value "{value}" for "{name}", must be a time such as 2026-03-01T12:00:00Z'
        ) from error
