"""Cursors and times, as every backend sees them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.errors import InvalidParameter
from policy_server.model.policy import PolicyId
from policy_server.storage.listing import decode_cursor, encode_cursor, fold, utc

parts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.builds(PolicyId, parts, parts, parts, parts))
def test_a_cursor_leads_back_to_the_policy_it_was_made_for(policy: PolicyId) -> None:
    """Any id survives, and the cursor needs no quoting in a URL."""
    cursor = encode_cursor(policy)

    assert decode_cursor(cursor) == policy
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in cursor)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_any_other_text_is_refused_or_is_a_cursor(text: str) -> None:
    """Garbage is a wrong parameter and nothing worse."""
    try:
        policy = decode_cursor(text)
    except InvalidParameter:
        return
    assert encode_cursor(policy) == text


@pytest.mark.parametrize(
    "forged",
    [
        "WyJhIiwgImIiLCAiYyIsICJkIl0",  # the same list, written with blanks
        "WyJhIiwiYiIsImMiLCJcdWQ4MDAiXQ",  # half a character
        "W" * 100_000,
        "W1tbW1tbW1tbW1tbW1tbW1tbW1tb" * 5000,  # deep nesting
    ],
)
def test_a_forged_cursor_is_refused(forged: str) -> None:
    """Only what this server wrote is read."""
    with pytest.raises(InvalidParameter, match="cursor"):
        decode_cursor(forged)


def test_times_become_utc() -> None:
    """The moment stays the same."""
    moment = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))

    assert (utc(moment), utc(moment).tzinfo) == (datetime(2026, 1, 1, tzinfo=UTC), UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    """It could mean anything."""
    with pytest.raises(ValueError, match="zone"):
        utc(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_folding_ignores_case_in_every_language() -> None:
    """Also where upper and lower case differ in length."""
    assert fold("STRASSE Ä İ") == fold("Straße ä i̇")
