"""Values that policies and evaluations keep for a while."""

from dataclasses import dataclass
from typing import Final

RESERVED: Final = "policy-server:"
"""Namespaces that begin like this are the server's own; policies can neither read nor write them."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Name a cached value, as the cache functions of policies do."""

    key: str
    namespace: str = ""
    scope: str = ""
