"""Moments in MongoDB, to the microsecond."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Write a moment exactly; MongoDB's own dates end at the millisecond."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Read what ``to_micros`` wrote, in UTC."""
    return _EPOCH + value * _MICROSECOND
