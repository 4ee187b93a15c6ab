"""The JSON shapes of subscribers, events and deliveries."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field


class SubscriptionRequest(Struct, frozen=True):
    """Who wants to be called when a policy changes."""

    webhook_url: Annotated[str, Meta(description="An http or https address.", examples=["https://example.com/hook"])]
    subscriber: Annotated[str, Meta(min_length=3, max_length=100)]


class SubscriberView(Struct, frozen=True, rename="pascal"):
    """A subscriber under the policy service's own names; ``State`` and ``Signed`` are ours."""

    id: str = field(name="MongoID")
    name: str
    url: str = field(name="WebhookURL")
    policy_repository: str
    policy_name: str
    policy_group: str
    policy_version: str
    created_at: datetime
    updated_at: datetime
    state: str
    signed: bool


class NewSubscriberView(SubscriberView, frozen=True, rename="pascal", kw_only=True):
    """A subscriber that was just made; the secret that signs what it gets is shown this once."""

    secret: str | None


class SubscriberList(Struct, frozen=True):
    """The subscribers of one policy, oldest first."""

    subscribers: list[SubscriberView]


class TrialView(Struct, frozen=True):
    """How a test delivery went; ``status`` is what the receiver answered."""

    id: str
    delivered: bool
    status: int | None
    error: str | None
    seconds: float


class EventView(Struct, frozen=True):
    """One change of one policy; ``id`` is the same in every message about it, ``stamp`` orders changes."""

    id: str
    stamp: int
    type: str
    repository: str
    group: str
    name: str
    version: str
    revision: int | None
    changed: list[str]
    actor: str
    time: datetime


class EventPage(Struct, frozen=True):
    """Changes, oldest first; ask again with ``next_cursor`` for later ones."""

    events: list[EventView]
    next_cursor: str


class DeliveryView(Struct, frozen=True):
    """One event on its way to one target; ``event`` is null when it is not kept any more."""

    id: str
    target: str
    state: str
    attempts: int
    next_attempt: datetime
    created_at: datetime
    settled_at: datetime | None
    error: str | None
    event: EventView | None


class DeliveryList(Struct, frozen=True):
    """A page of deliveries, newest event first."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


def encode(document: Struct) -> bytes:
    """Write a document as one line of JSON."""
    return msgspec.json.encode(document) + b"\n"
