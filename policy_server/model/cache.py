"""Values that policies and evaluations keep for a while."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Name a cached value, as the cache functions of policies do."""

    key: str
    namespace: str = ""
    scope: str = ""
