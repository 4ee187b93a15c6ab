"""What is a secret wherever it stands: by the name it has, and inside of texts."""

import re
from functools import lru_cache
from typing import Final

COVERED: Final = "**********"
"""What stands in place of a secret."""

_WORDS: Final = (
    "pin|password|passwd|passcode|passphrase|secret|token|authorization|cookie|credentials?|api[_-]?key|private[_-]?key"
)
_CAMEL: Final = (
    "Pin|PIN|Password|Passwd|Passcode|Passphrase|Secret|Token|Authorization|Cookie|Credentials?|ApiKey|PrivateKey"
)
_NAME: Final = re.compile(rf"(?:(?:^|[_\-. ])(?i:{_WORDS})|(?<=[a-z0-9])(?:{_CAMEL}))[sS]?$")
_SIGNS: Final = ("=", '"', "://", "basic", "bearer", "pst_", "eyj")
"""One of these is in every text that the pattern finds something in."""

_LONGEST: Final = 40
"""The end of a name that counts; names are kept for the next time, and anybody can make up long ones."""

_KEYS: Final = r"[\w.~-]*(?:pin|password|passcode|secret|token|api_?key)"
_TEXT: Final = re.compile(
    r"(?i)(?P<scheme>\b(?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]{6,}"
    rf"|(?P<query>[?&;]{_KEYS}=)[^&;\s\"']*"
    rf"|(?P<member>\"{_KEYS}\"\s*:\s*\")(?:[^\"\\]|\\.)*"
    r"|(?P<token>\b)(?:pst_[\w-]{8,}|eyJ[\w-]{5,512}\.[\w-]+\.[\w-]*)"  # bounded: it may begin anywhere
    r"|(?P<address>://[^/\s:@]+:)[^@/\s]+(?=@)"
)


def names_secret(name: str) -> bool:
    """Tell whether what has this name is a secret: ``guest_pin``, ``clientSecret``, ``Authorization``."""
    return _is_named(name[-_LONGEST:])


@lru_cache(maxsize=4096)
def _is_named(end: str) -> bool:
    return _NAME.search(end) is not None


def has_credentials(text: str) -> bool:
    """Tell whether `cover_text` would cover something."""
    return _may_have(text) and _TEXT.search(text) is not None


def cover_text(text: str) -> str:
    """Cover the credentials inside of a text: bearer tokens, passwords of addresses, ``?pin=…``, ``"pin": "…"``."""
    if not _may_have(text):
        return text
    return _TEXT.sub(lambda match: f"{match[match.lastgroup or 0]}{COVERED}", text)


def _may_have(text: str) -> bool:
    # PERF: the pattern is tried at every character; nearly all texts have none of these.
    low = text.lower()
    return any(sign in low for sign in _SIGNS)
