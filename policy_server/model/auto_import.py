"""Bundles that are fetched and imported on a schedule."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class AutoImport:
    """One bundle to import every ``interval``; ``id`` is 24 hexadecimal digits, ``url`` names it for callers."""

    id: str
    url: str
    interval: timedelta
    next_import: datetime
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    error: str | None = None
