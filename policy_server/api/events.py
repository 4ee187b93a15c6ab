"""What changed, and who was told about it."""

import falcon

from policy_server.api import query
from policy_server.api.event_views import DeliveryList, DeliveryView, EventPage, EventView, encode
from policy_server.api.request import ApiRequest, refused
from policy_server.model.event import ChangeEvent, Delivery, DeliveryState
from policy_server.ports import Clock, Outbox

MOST = 1000
_PAGE = 100
_MOST_DELIVERIES = 200  # each shows its event, which is looked up


class Events:
    """The feed of changes."""

    def __init__(self, outbox: Outbox) -> None:
        """Take the outbox."""
        self._outbox = outbox

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        """List changes after a cursor; the answer's cursor is good for the next look, also when nothing is new."""
        after = _stamp(req)
        limit = query.integer(req, "limit", least=1, most=MOST) or _PAGE
        found = self._outbox.events(after=after, limit=limit)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = encode(EventPage([_event(each) for each in found], str(found[-1].stamp if found else after)))


class Deliveries:
    """Events on their way to those who want them."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        """Take the outbox."""
        self._outbox = outbox
        self._clock = clock

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        """List deliveries, newest event first."""
        page = self._outbox.deliveries(
            limit=query.integer(req, "limit", least=1, most=_MOST_DELIVERIES) or _PAGE,
            state=_state(req),
            target=query.text(req, "target"),
            cursor=query.text(req, "cursor"),
        )
        events = {stamp: self._outbox.event(stamp) for stamp in {each.stamp for each in page.deliveries}}
        resp.content_type = falcon.MEDIA_JSON
        resp.data = encode(
            DeliveryList([_delivery(each, events[each.stamp]) for each in page.deliveries], page.next_cursor)
        )

    def on_post_redeliver(self, _req: ApiRequest, resp: falcon.Response, delivery: str) -> None:
        """Send again what was delivered or given up; what is still tried stays as it is."""
        again = self._outbox.redeliver(delivery, at=self._clock())
        resp.content_type = falcon.MEDIA_JSON
        resp.data = encode(_delivery(again, self._outbox.event(again.stamp)))


def _stamp(req: ApiRequest) -> int:
    text = query.text(req, "cursor") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise refused("cursor", f'invalid value "{text}" for "cursor", must be the next_cursor of an answer')
    return int(text)


def _state(req: ApiRequest) -> DeliveryState | None:
    text = query.text(req, "state")
    if text is not None and text not in set(DeliveryState):
        raise refused("state", f'invalid value "{text}" for "state", must be one of {", ".join(DeliveryState)}')
    return None if text is None else DeliveryState(text)


def _event(event: ChangeEvent) -> EventView:
    policy = event.policy
    return EventView(
        id=event.id,
        stamp=event.stamp,
        type=event.type,
        repository=policy.repository,
        group=policy.group,
        name=policy.name,
        version=policy.version,
        revision=event.revision,
        changed=list(event.changed),
        actor=event.actor,
        time=event.at,
    )


def _delivery(delivery: Delivery, event: ChangeEvent | None) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        target=delivery.target,
        state=str(delivery.state),
        attempts=delivery.attempts,
        next_attempt=delivery.next_attempt,
        created_at=delivery.created_at,
        settled_at=delivery.settled_at,
        error=delivery.error,
        event=None if event is None else _event(event),
    )
