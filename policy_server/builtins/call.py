"""The state of one evaluation, as its builtins see it."""

import random
import time
from collections.abc import Mapping
from typing import Final

from policy_server.model.errors import BuiltinFailed

MAX_ERRORS: Final = 100
"""How many errors of one evaluation are kept; a loop over a million items has one message."""

MAX_PRINTED: Final = 1000
"""How many printed lines of one evaluation are kept."""

MAX_LINE: Final = 4096
"""How long a printed line may be, in characters; longer ones are cut."""

MAX_ANSWERS: Final = 16 << 20
"""How many bytes of other servers' answers one evaluation remembers."""

Memo = dict[tuple[object, ...], bytes | None]
"""Answers of functions by name and arguments; None is undefined."""

_random = random.SystemRandom()


class Call:
    """One evaluation: what it may know, and what is remembered until its end.

    ``headers`` are those of the caller, canonical names, first value. ``now_ns``
    is the one time of this evaluation. ``deadline_at`` is monotonic time.
    ``memo`` keeps answers by function and arguments, so that time, randomness
    and network say the same thing twice; ``errors`` collects the failures of
    builtins that became undefined, unless ``strict`` makes them fail it all;
    ``printed`` the lines that ``print`` wrote. ``answers`` remembers requests to
    other servers by their digest: the answer, or code and message of the failure.
    """

    __slots__ = ("_seed", "answers", "deadline_at", "errors", "headers", "memo", "now_ns", "printed", "strict")

    def __init__(
        self,
        headers: Mapping[str, str],
        now_ns: int,
        deadline_at: float,
        *,
        strict: bool = False,
        errors: list[str] | None = None,
        printed: list[str] | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.headers = headers
        self.now_ns = now_ns
        self.deadline_at = deadline_at
        self.strict = strict
        self.errors: list[str] = [] if errors is None else errors
        self.printed: list[str] = [] if printed is None else printed
        self.answers: dict[bytes, bytes | tuple[str, str]] = {}
        self.memo: Memo = {} if memo is None else memo
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
        self.note(error)

    def note(self, error: BuiltinFailed) -> None:
        """Record the failure of a builtin, unless MAX_ERRORS are recorded already."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error.message)

    def print(self, line: str) -> None:
        """Keep a printed line, cut to MAX_LINE characters, unless MAX_PRINTED are kept already."""
        if len(self.printed) < MAX_PRINTED:
            self.printed.append(line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…")

    def remember(self, key: bytes, answer: bytes | tuple[str, str]) -> None:
        """Keep what a request to another server brought, as long as there is room."""
        size = sum(len(each) for each in self.answers.values() if isinstance(each, bytes))
        if size + len(answer) <= MAX_ANSWERS and len(self.answers) < MAX_ERRORS:
            self.answers[key] = answer
