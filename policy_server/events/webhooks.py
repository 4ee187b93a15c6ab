"""Calls subscribers over HTTP."""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from policy_server.events import payloads, signing
from policy_server.events.backoff import Backoff
from policy_server.events.posting import GONE, accept, post
from policy_server.events.sink import Undelivered
from policy_server.model.errors import AlreadyExists, SubscriberNotFound
from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId
from policy_server.model.subscriber import Subscriber, SubscriberState
from policy_server.net.client import GuardedClient
from policy_server.ports import Clock, SubscriberStore

_TEST: Final = "test_"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a test delivery went; ``status`` is None when there was no answer, ``seconds`` its time."""

    id: str
    delivered: bool
    status: int | None
    error: str | None
    seconds: float


class Webhooks:
    """The sink of subscribers: the policy service's body, Standard Webhooks' headers."""

    kind = "webhook"
    ours = False

    def __init__(
        self,
        subscribers: SubscriberStore,
        client: GuardedClient,
        clock: Clock,
        *,
        backoff: Backoff | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who keeps subscribers and the guarded way out."""
        self.backoff = backoff or Backoff()
        self._subscribers = subscribers
        self._client = client
        self._clock = clock
        self._elapsed = elapsed

    def targets(self, policy: PolicyId) -> list[str]:
        """Return the active subscribers of a policy."""
        found = self._subscribers.find(policy)
        return [f"{self.kind}:{each.id}" for each in found if each.state is SubscriberState.ACTIVE]

    def send(self, target: str, event: ChangeEvent) -> None:
        """Call one subscriber; 410 disables it."""
        subscriber = self._subscriber(target.partition(":")[2])
        status = self._post(subscriber, event.id)
        if status == GONE:
            self._become(subscriber, SubscriberState.FAILING)
            raise Undelivered("the receiver answered 410 (gone) and is not called any more", final=True)
        accept(status)

    def test(self, subscriber: Subscriber) -> Trial:
        """Send a message that belongs to no change; one that arrives enables a disabled subscriber again."""
        message, started, status = _TEST + uuid.uuid4().hex, self._elapsed(), None
        error = None
        try:
            status = self._post(subscriber, message)
            accept(status)
        except Undelivered as failure:
            error = failure.message
        if error is None and subscriber.state is SubscriberState.FAILING:
            self._become(subscriber, SubscriberState.ACTIVE)
        return Trial(message, error is None, status, error, round(self._elapsed() - started, 3))

    def close(self) -> None:
        """Do nothing: each call has a connection of its own."""

    def _subscriber(self, wanted: str) -> Subscriber:
        try:
            found = self._subscribers.get(wanted)
        except SubscriberNotFound as error:
            raise Undelivered("the subscriber has been removed", final=True) from error
        if found.state is not SubscriberState.ACTIVE:
            raise Undelivered(f"the subscriber is {found.state} and is not called", final=True)
        return found

    def _post(self, subscriber: Subscriber, message: str) -> int:
        body = payloads.webhook(subscriber.policy)
        signed = signing.headers(message, body, secret=subscriber.secret, at=self._clock())
        return post(self._client, subscriber.url, body, {"Content-Type": "application/json", **signed})

    def _become(self, subscriber: Subscriber, state: SubscriberState) -> None:
        try:
            self._subscribers.save(replace(subscriber, state=state, updated_at=self._clock()))
        except (SubscriberNotFound, AlreadyExists):
            return  # removed, or replaced, in the meantime
        log.warning(
            "webhook %s of %s is %s now", subscriber.id, subscriber.policy, state, extra={"action": f"webhook.{state}"}
        )
