"""The backends that must all behave alike.

A new backend is one more line in ``BACKENDS``: its name, how to get the URL of
an empty database (given a directory of its own), and whether processes can
share it. A backend that needs a server starts or finds it in its ``url``
function, and skips there, loudly, when there is none at home.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from database_servers import mongodb_url, postgresql_url


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to keep things."""

    name: str
    url: Callable[[Path], str]
    shared: bool


BACKENDS = (
    Backend("memory", lambda _: "memory:", shared=False),
    Backend("sqlite", lambda place: f"sqlite:///{place / 'state' / 'policies.db'}", shared=True),
    Backend("postgresql", lambda _: postgresql_url(), shared=True),
    Backend("mongodb", lambda _: mongodb_url(), shared=True),
)
