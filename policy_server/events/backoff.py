"""When a failed delivery is tried again, and when it is given up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

_FACTOR: Final = 3
_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow threefold, in seconds: the ``first``, the ``longest``, and all of them together.

    ``total`` counts from the first attempt; after that a delivery is given up.
    It is counted in attempts and not by the clock, so that a delivery that an
    operator sends again starts afresh.
    """

    first: float = 5.0
    longest: float = 6 * 3600.0
    total: float = 24 * 3600.0

    def pause(self, attempts: int, chance: float) -> timedelta | None:
        """Return how long to wait after so many attempts (1 or more); None means to give up.

        ``chance`` from 0 to 1 spreads the pause over ±20 %, so that receivers
        that come back are not met by everybody at once.
        """
        seconds = next(islice(self._pauses(), attempts - 1, None), None)
        return None if seconds is None else timedelta(seconds=seconds * (1 - _JITTER + 2 * _JITTER * chance))

    def _pauses(self) -> Iterator[float]:
        pause, left = self.first, self.total
        while left > 0:
            yield min(pause, left)
            left -= pause
            pause = min(pause * _FACTOR, self.longest)
