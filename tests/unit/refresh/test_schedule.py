"""When data is fetched next."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.policy import PolicyId
from policy_server.refresh.schedule import failed, first, is_due, succeeded

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = PolicyId("r", "g", "n", "1.0")
NEW = first(ID, "config", AT)


def test_new_data_is_due_at_once() -> None:
    """Nobody waits a period for the first document."""
    assert is_due(NEW, AT)
    assert not is_due(NEW, AT - timedelta(seconds=1))


def test_success_waits_one_period() -> None:
    """And forgets the failures before it."""
    state = succeeded(failed(NEW, AT, "x", period=60, retry=5, chance=0), AT, period=60, size=3, digest="d")

    assert (state.next_run, state.last_success) == (AT + timedelta(seconds=60), AT)
    assert (state.error, state.failures, state.size, state.digest) == (None, 0, 3, "d")


def test_failures_wait_longer_each_time() -> None:
    """5, 10, 20, … seconds, and never longer than the period."""
    state, pauses = NEW, []
    for _ in range(6):
        state = failed(state, AT, "no", period=100, retry=5, chance=0)
        assert state.next_run is not None
        pauses.append((state.next_run - AT).total_seconds())

    assert pauses == [5, 10, 20, 40, 80, 100]
    assert (state.failures, state.error, state.last_attempt) == (6, "no", AT)


def test_a_failure_keeps_what_is_known_about_good_data() -> None:
    """The last success stays visible."""
    good = succeeded(NEW, AT, period=60, size=3, digest="d")

    state = failed(good, AT + timedelta(seconds=60), "no", period=60, retry=5, chance=0)

    assert (state.last_success, state.size, state.digest) == (AT, 3, "d")


def test_chance_takes_up_to_half_away() -> None:
    """Many sources that come back are not asked in one moment."""
    state = failed(NEW, AT, "no", period=1000, retry=10, chance=1.0)

    assert state.next_run == AT + timedelta(seconds=5)


@given(st.integers(0, 10**9), st.floats(1, 9.2e9), st.floats(0.05, 3600), st.floats(0, 1))
def test_the_next_run_is_always_in_reach(failures: int, period: float, retry: float, chance: float) -> None:
    """Neither now nor after a period, whatever the numbers."""
    state = NEW
    for _ in range(min(failures, 60)):
        state = failed(state, AT, "no", period=period, retry=retry, chance=chance)

    later = failed(state, AT, "no", period=period, retry=retry, chance=chance).next_run

    assert later is not None
    assert timedelta(0) < later - AT <= timedelta(seconds=period) + timedelta(microseconds=1)


def test_the_end_of_time_is_not_passed() -> None:
    """Three centuries after the year 9900 there is no date; there is no error either."""
    late = datetime(9900, 1, 1, tzinfo=UTC)

    assert succeeded(NEW, late, period=9.2e9, size=1, digest="d").next_run == datetime.max.replace(tzinfo=UTC)
