"""Answers kept across requests: what their headers allow, in as many bytes as were set aside."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from policy_server.net.outgoing import Incoming

LONGEST: Final = (1 << 31) - 1
"""The longest age that counts, in seconds; longer ones mean it."""

KEPT: Final = frozenset({200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501})
"""Statuses that may be kept, as in OPA (RFC 7231, 6.1)."""

_OVERHEAD: Final = 512


def directives(text: str) -> Mapping[str, str]:
    """Read a Cache-Control header: names in lower case, values as they are; parts with two ``=`` do not count."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.strip(" \t").partition("=")
        if name.strip(" \t") and "=" not in value:
            found[name.strip(" \t").lower()] = value if equals else ""
    return found


def max_age(found: Mapping[str, str]) -> int | None:
    """Return the seconds of ``max-age``, None when there is none; ValueError when they are no number."""
    text = found.get("max-age")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError("max-age is not a number")
    return LONGEST if len(text.lstrip("0")) > 10 else min(int(text), LONGEST)


def may_store(answer: Incoming) -> bool:
    """Tell whether the answer lets itself be kept."""
    return answer.status in KEPT and "no-store" not in directives(answer.header("cache-control"))


def expiry(answer: Incoming) -> float:
    """Return until when an answer is fresh, in seconds since 1970; 0 when it never was.

    ``max-age`` counts from the Date header, and ValueError says that there is none
    or that one of them cannot be read; without it Expires counts.
    """
    age = max_age(directives(answer.header("cache-control")))
    if age is not None:
        return _seconds(answer.header("date")) + age
    try:
        return _seconds(answer.header("expires"))
    except ValueError:
        return 0.0


def _seconds(text: str) -> float:
    if not text:
        raise ValueError("no date header")
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, IndexError) as error:
        raise ValueError("not a date") from error
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and until when it is fresh, in seconds since 1970."""

    answer: Incoming
    fresh_until: float

    @property
    def validators(self) -> tuple[tuple[str, str], ...]:
        """The headers that ask whether the answer is still the same; none when it cannot be asked."""
        pairs = (
            ("If-None-Match", self.answer.header("etag")),
            ("If-Modified-Since", self.answer.header("last-modified")),
        )
        return tuple(pair for pair in pairs if pair[1])

    def size(self) -> int:
        """Return about how many bytes it takes."""
        return _OVERHEAD + len(self.answer.body) + sum(len(name) + len(value) for name, value in self.answer.headers)


class AnswerCache:
    """Keeps the answers that were used last, in ``max_bytes`` bytes; safe for threads."""

    def __init__(self, max_bytes: int) -> None:
        """Start empty; 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Kept | None:
        """Return what is kept, fresh or not."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep an answer, forgetting those not used for longest; one that is too large is not kept."""
        with self._lock:
            self._forget(key)
            if kept.size() > self._max_bytes:
                return
            self._kept[key] = kept
            self._bytes += kept.size()
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._kept)))

    def drop(self, key: bytes) -> None:
        """Forget an answer."""
        with self._lock:
            self._forget(key)

    def size(self) -> int:
        """Return about how many bytes are kept."""
        return self._bytes

    def _forget(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found.size()
