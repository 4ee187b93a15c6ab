"""What is told about changes of policies, and to whom."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy_server.model.policy import PolicyId


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change of one policy, written together with it.

    ``stamp`` is the store's after the change and orders events; ``id`` is unique
    everywhere and stays the same in every delivery. ``type`` is ``published``,
    ``failed``, ``locked``, ``unlocked`` or ``deleted``. ``changed`` names the
    parts: ``rego``, ``data``, ``data_config``, ``output_schema``,
    ``export_config``, ``failure``, ``locked``, ``module`` (another one was made of
    the same source, by a newer compiler). ``revision`` is the active one
    afterwards. ``actor`` is empty when nobody is known.
    """

    id: str
    stamp: int
    type: str
    policy: PolicyId
    revision: int | None
    changed: tuple[str, ...]
    actor: str
    at: datetime


class DeliveryState(StrEnum):
    """PENDING: to be tried. DELIVERED: accepted. DEAD: given up; an operator may try again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one target; ``target`` is for whoever delivers (``webhook:<id>``, ``nats``).

    ``next_attempt`` is when it is due, or until when the process that claimed
    it may work on it. ``attempts`` counts claims; ``error`` is the last one's.
    """

    id: str
    stamp: int
    target: str
    state: DeliveryState
    attempts: int
    next_attempt: datetime
    created_at: datetime
    settled_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of deliveries, newest first."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None
