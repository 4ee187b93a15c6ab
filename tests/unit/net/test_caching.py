"""How long an answer is fresh, whatever its headers look like."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.net.caching import LONGEST, AnswerCache, Kept, directives, expiry, max_age, may_store
from policy_server.net.outgoing import Incoming

NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z-]{0,10}", fullmatch=True)
VALUES = st.from_regex(r"[a-z0-9\"]{0,10}", fullmatch=True)


def answer(**headers: str) -> Incoming:
    """Return an answer with these headers."""
    return Incoming(200, "OK", tuple((name.replace("_", "-"), value) for name, value in headers.items()), b"")


@given(st.dictionaries(NAMES.map(str.lower), st.none() | VALUES), st.sampled_from([",", ", ", " ,\t"]))
def test_directives_are_read_as_they_were_written(given_: dict[str, str | None], comma: str) -> None:
    """Names with and without a value, however they are spaced."""
    text = comma.join(name if value is None else f"{name}={value}" for name, value in given_.items())

    assert directives(text) == {name: value or "" for name, value in given_.items()}


@given(NAMES, VALUES)
def test_the_case_of_a_directive_does_not_matter(name: str, value: str) -> None:
    """A server that writes No-Store means no-store."""
    assert directives(f"{name}={value}") == directives(f"{name.upper()}={value}") == {name.lower(): value}


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_no_headers_break_it(control: str, date: str, expires: str) -> None:
    """Anything gives a time or says that there is none, and never an age that was not allowed."""
    made = answer(cache_control=control, date=date, expires=expires)

    may_store(made)
    try:
        found = expiry(made)
    except ValueError:
        return
    assert -(2**40) < found < 2**40 + LONGEST


@given(st.integers(min_value=0, max_value=10**30), st.integers(min_value=0, max_value=2_000_000_000))
def test_an_age_counts_from_the_date(age: int, date: int) -> None:
    """Up to the longest there is."""
    made = answer(cache_control=f"public, max-age={age}", date=formatdate(date, usegmt=True), expires="0")

    assert expiry(made) == date + min(age, LONGEST)


@pytest.mark.parametrize("text", ["-1", "+1", "1.5", "", '"60"', "1_000", "٣", "0x10", " 60"])
def test_ages_that_are_no_numbers_are_errors(text: str) -> None:
    """As in OPA, which then keeps nothing."""
    with pytest.raises(ValueError, match="max-age"):
        max_age({"max-age": text})


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_dates_may_be_written_in_three_ways(date: str) -> None:
    """Those of RFC 9110."""
    assert expiry(answer(expires=date)) == 784111777
    assert expiry(answer(cache_control="max-age=3", date=date)) == 784111780


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000)), max_size=60))
def test_the_cache_never_holds_more_than_it_may(steps: list[tuple[int, int]]) -> None:
    """Whatever is put into it, in whatever order; what was put last is there when it fits."""
    cache = AnswerCache(4000)

    for key, size in steps:
        kept = Kept(Incoming(200, "OK", (), b"x" * size), 1.0)
        cache.put(b"%d" % key, kept)

        assert cache.size() <= 4000
        assert cache.get(b"%d" % key) == kept
        held = [found for number in range(6) if (found := cache.get(b"%d" % number)) is not None]
        assert sum(each.size() for each in held) == cache.size()
