"""Durations the way Go writes them: ``1h30m``, ``1.5s``, ``250ms``."""

import re
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LIMIT: Final = 1 << 63


def parse_duration(text: str) -> int:
    """Return nanoseconds; ValueError says what is wrong with the text.

    An optional sign, then one or more decimals each with a unit (``ns us µs
    ms s m h``); ``0`` needs no unit. What does not fit 64 bits is refused.
    """
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = at = 0
    while at < len(rest) and (part := _PART.match(rest, at)):
        whole, fraction, unit = part.groups()
        if len(whole) + len(fraction or "") > 100:
            raise ValueError("the duration has too many digits")
        if not whole and not fraction:
            break
        scale = _UNITS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction or "")
        at = part.end()
    if not rest or at < len(rest):
        raise ValueError("a duration looks like 90s, 10m or 1h30m (units ns, us, ms, s, m, h)")
    if total * sign not in range(-_LIMIT, _LIMIT):
        raise ValueError("the duration is longer than 292 years")
    return total * sign


def format_duration(nanoseconds: int) -> str:
    """Write nanoseconds the way Go does: ``1h30m0s``, ``1.5s``, ``250ms``, ``0s``."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < _UNITS["s"]:
        unit = next((unit for unit in ("ms", "µs", "ns") if rest >= _UNITS[unit]), "s")
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    hours, rest = divmod(rest, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    shown = f"{hours}h" if hours else ""
    shown += f"{minutes}m" if hours or minutes else ""
    return f"{sign}{shown}{_decimal(rest, _UNITS['s'])}s"


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    digits = str(fraction).rjust(len(str(scale)) - 1, "0").rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
