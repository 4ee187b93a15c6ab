"""Numbers, lengths of time, and sizes."""

import re
from typing import Final

from policy_server.model.duration import parse_duration
from policy_server.notation.kinds import Kind

_SIZE: Final = re.compile(r"(\d+)\s*(?:([kmg])(i?)b?|b)?", re.IGNORECASE)


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def number(low: int, high: int) -> Kind[int]:
    """Describe whole numbers from ``low`` to ``high``."""
    wanted = f"a whole number from {low} to {high}"

    def read(value: object) -> int:
        given = _whole(value)
        if given is None or not low <= given <= high:
            raise ValueError(wanted)
        return given

    return Kind(wanted, read)


def seconds(text: str) -> float | None:
    """Read a duration as Go writes it (``1h30m``, ``250ms``), days (``7d``) or plain seconds; None when it is none."""
    text = text.strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return float(text)
    if re.fullmatch(r"\d{1,6}d", text):
        return int(text[:-1]) * 86400.0
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        return None


def duration(low: float, high: float) -> Kind[float]:
    """Describe lengths of time, in seconds inside."""
    wanted = f"a length of time such as 2s, 250ms, 1h30m or 7d (plain numbers are seconds), {low:g} to {high:g} seconds"

    def read(value: object) -> float:
        given = None if isinstance(value, bool) else seconds(str(value))
        if given is None or not low <= given <= high:
            raise ValueError(wanted)
        return given

    return Kind("a length of time: `2s`, `250ms`, `1h30m`, `7d`; plain numbers are seconds", read)


def size(low: int) -> Kind[int]:
    """Describe amounts of bytes, ``low`` at least."""

    def read(value: object) -> int:
        whole = _whole(value)
        match = _SIZE.fullmatch(str(value).strip())
        if whole is None and match is not None:
            step = 1024 if match[3] else 1000
            whole = int(match[1]) * step ** (" kmg".index(match[2].lower()) if match[2] else 0)
        if whole is None or whole < low:
            raise ValueError(f"a size such as 256MiB or 64kB, at least {low} bytes")
        return whole

    return Kind("a size: `256MiB`, `64kB`; plain numbers are bytes", read)
