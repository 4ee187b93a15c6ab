"""The state of one evaluation, as its builtins see it."""

import random
import time
from collections.abc import Mapping
from typing import Final

from policy_server.model.errors import BuiltinFailed

MAX_ERRORS: Final = 100
"""How many errors of one evaluation are kept; a loop over a million items has one message."""

_random = random.SystemRandom()


class Call:
    """One evaluation: what it may know, and what is remembered until its end.

    ``headers`` are those of the caller, canonical names, first value. ``now_ns``
    is the one time of this evaluation. ``deadline_at`` is monotonic time.
    ``memo`` keeps answers by function and arguments, so that time, randomness
    and network say the same thing twice; ``errors`` collects the failures of
    builtins that became undefined, unless ``strict`` makes them fail it all.
    """

    __slots__ = ("_seed", "deadline_at", "errors", "headers", "memo", "now_ns", "strict")

    def __init__(
        self,
        headers: Mapping[str, str],
        now_ns: int,
        deadline_at: float,
        *,
        strict: bool = False,
        errors: list[str] | None = None,
    ) -> None:
        self.headers = headers
        self.now_ns = now_ns
        self.deadline_at = deadline_at
        self.strict = strict
        self.errors: list[str] = [] if errors is None else errors
        self.memo: dict[tuple[object, ...], bytes | None] = {}
        self._seed: int | None = None

    @property
    def seed(self) -> int:
        """The seed of this evaluation's random functions; unpredictable, the same each time it is read."""
        if self._seed is None:
            self._seed = _random.getrandbits(63)
        return self._seed

    def remaining(self) -> float:
        """Return the seconds until the deadline, negative when it is over."""
        return self.deadline_at - time.monotonic()

    def fail(self, error: BuiltinFailed) -> None:
        """Record the failure of a builtin, which then is undefined; where strict, raise it."""
        if self.strict:
            raise error
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error.message)
