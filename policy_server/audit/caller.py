"""Knows on whose behalf this thread works, for records that are written far from the request."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

ANONYMOUS: Final = "anonymous"
"""The actor when nobody had to say who he is."""

ACTOR_KEY: Final = "policy_server.actor"
"""Where, in a WSGI environment, a program that calls the application itself names its user; no header can set it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from which address, in which request."""

    actor: str
    origin: str = ""
    request_id: str = ""


_current: ContextVar[Callable[[], Caller] | None] = ContextVar("caller", default=None)


def work_for(caller: Callable[[], Caller] | None) -> None:
    """Name the caller of what this thread does from now on, None for the server itself.

    It is asked when a record is written: who somebody is may be found out after this.
    """
    _current.set(caller)


def current() -> Caller | None:
    """Return on whose behalf this thread works, None when it is the server's own work."""
    caller = _current.get()
    return None if caller is None else caller()
