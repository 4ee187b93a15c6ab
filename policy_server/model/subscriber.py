"""Who wants to be called when a policy changes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy_server.model.policy import PolicyId


class SubscriberState(StrEnum):
    """ACTIVE: is called. PAUSED: an operator stopped it. FAILING: answered that it is gone (HTTP 410)."""

    ACTIVE = "active"
    PAUSED = "paused"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A webhook for one policy; ``id`` is 24 hexadecimal digits, as the policy service has them.

    ``secret`` signs what is sent; None for those made by the original service.
    """

    id: str
    policy: PolicyId
    name: str
    url: str
    created_at: datetime
    updated_at: datetime
    secret: str | None = None
    state: SubscriberState = SubscriberState.ACTIVE
