"""When to fetch next; pure: the time and the dice come from outside."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from policy_server.model.policy import PolicyId
from policy_server.model.refresh import RefreshState

_MOST_DOUBLINGS: Final = 40  # a back-off is never longer than the period anyway; this keeps the number small


def first(policy: PolicyId, config_digest: str, at: datetime) -> RefreshState:
    """Return the state of a policy whose data was never fetched with this configuration: due now."""
    return RefreshState(policy, config_digest, next_run=at)


def is_due(state: RefreshState, at: datetime) -> bool:
    """Tell whether a fetch should start."""
    return state.next_run is not None and state.next_run <= at


def succeeded(state: RefreshState, at: datetime, *, period: float, size: int, digest: str) -> RefreshState:
    """Return the state after good data; the next fetch is one period later."""
    return replace(
        state,
        next_run=_later(at, period),
        last_attempt=at,
        last_success=at,
        error=None,
        size=size,
        digest=digest,
        failures=0,
    )


def failed(
    state: RefreshState, at: datetime, error: str, *, period: float, retry: float, chance: float
) -> RefreshState:
    """Return the state after a failure; what is known about the last good data stays.

    The pause doubles from ``retry`` seconds up to the period. ``chance`` is a
    random number from 0 to 1 that takes up to half of it away, so that many
    policies whose source came back do not all ask at once.
    """
    failures = state.failures + 1
    pause = min(period, retry * 2 ** min(failures - 1, _MOST_DOUBLINGS))
    return replace(
        state, next_run=_later(at, pause * (1 - chance / 2)), last_attempt=at, error=error, failures=failures
    )


def _later(at: datetime, seconds: float) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=at.tzinfo)
