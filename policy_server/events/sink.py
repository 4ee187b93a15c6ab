"""What every way of telling others has in common."""

from typing import Protocol

from policy_server.events.backoff import Backoff
from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId


class Undelivered(Exception):
    """The event could not be delivered; never leaves this room.

    ``final``: trying again is of no use. ``away``: the target does not answer
    at all, so others need not be tried now. ``shown`` is what everybody may
    read about it on health pages; without it, all of the message.
    """

    def __init__(self, message: str, *, final: bool = False, away: bool = False, shown: str = "") -> None:
        """Say why, and what it means for the next attempt."""
        super().__init__(message)
        self.message = message
        self.shown = shown or message
        self.final = final
        self.away = away


class Sink(Protocol):
    """One way of telling others.

    A target is a text that begins with ``kind``; it names the receiver in the
    outbox and in logs and therefore holds no secret. ``ours`` says that an
    operator of this server chose the receiver, and wants to see its troubles
    on health pages.
    """

    kind: str
    ours: bool
    backoff: Backoff

    def targets(self, policy: PolicyId) -> list[str]:
        """Return who is told about changes of a policy now."""

    def send(self, target: str, event: ChangeEvent) -> None:
        """Deliver one event, within the sink's own limits of time; Undelivered."""

    def close(self) -> None:
        """Give connections back; the next delivery opens new ones."""
