"""Data that is fetched on a schedule: configuration and state."""

from dataclasses import dataclass
from datetime import datetime

from policy_server.model.policy import PolicyId
from policy_server.model.values import Json


@dataclass(frozen=True, slots=True)
class DataConfig:
    """A parsed data-config.json; ``period`` is in seconds."""

    url: str
    method: str
    period: float
    body: Json = None


@dataclass(frozen=True, slots=True)
class RefreshState:
    """How the data of a policy is doing; ``next_run`` None means never.

    ``size`` is in bytes and ``digest`` the SHA-256 in hex of the last good
    body; ``failures`` counts attempts since the last success;
    ``config_digest`` tells a changed configuration from the one this state is about.
    """

    id: PolicyId
    config_digest: str
    next_run: datetime | None
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    error: str | None = None
    size: int | None = None
    digest: str | None = None
    failures: int = 0
