"""How something that runs in the background is doing."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """STARTING: not yet able to answer. READY: all well. DEGRADED: answers, from older knowledge."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Status:
    """One line for health pages: state, what about it, since when."""

    state: State
    message: str
    since: datetime
    stamp: int = 0
