"""Durations as Go writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.duration import format_duration, parse_duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("5s", 5 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("-1m", -60 * SECOND),
        ("+2ms", 2_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", SECOND),
        ("3us", 3000),
        ("3µs", 3000),
        ("3μs", 3000),
        ("7ns", 7),
        ("1h1h", 7200 * SECOND),
        ("0.1ns", 0),
        ("39h9m14.425s", 140_954_425_000_000),
        ("9223372036854775807ns", (1 << 63) - 1),
        ("-9223372036854775808ns", -(1 << 63)),
        ("2562047h47m16.854775807s", (1 << 63) - 1),
    ],
)
def test_durations_mean_what_go_means(text: str, nanoseconds: int) -> None:
    """Every form of the grammar is read exactly."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "3", "-", "+", "s", ".s", "-.s", "1 h", " 1s", "1s ", "1d", "1h30", "--1s", "1e3s", "1_0s", "٣s", "1S", "00"],
)
def test_other_texts_are_refused(text: str) -> None:
    """What Go does not accept is not guessed at."""
    with pytest.raises(ValueError, match="looks like"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9223372036854775808ns", "3000000h", "-9223372036854775809ns", "1" * 90 + "s"])
def test_what_does_not_fit_is_refused(text: str) -> None:
    """A duration fits 64 bits of nanoseconds, as in Go."""
    with pytest.raises(ValueError, match="292 years"):
        parse_duration(text)


def test_endless_digits_are_refused() -> None:
    """A megabyte of digits costs nothing."""
    with pytest.raises(ValueError, match="too many digits"):
        parse_duration("1" * 1_000_000 + "s")


@given(st.integers(0, 2_000_000), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    """A duration is the sum of its parts."""
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"

    assert parse_duration(text) == ((hours * 60 + minutes) * 60 + seconds) * SECOND + milliseconds * 1_000_000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (5_400_000_000_000, "1h30m0s"),
        (3_600_000_000_001, "1h0m0.000000001s"),
        (-90_000_000_000, "-1m30s"),
    ],
)
def test_durations_are_written_as_go_does(nanoseconds: int, text: str) -> None:
    """And read back."""
    assert format_duration(nanoseconds) == text
    assert parse_duration(text) == nanoseconds
