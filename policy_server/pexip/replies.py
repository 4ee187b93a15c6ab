"""What goes back to Pexip, as bytes."""

from dataclasses import dataclass, field
from typing import Final

import orjson

from policy_server.model.values import Json, JsonObject
from policy_server.pexip.kinds import Fallback, RequestKind

JSON_TYPE: Final = "application/json"
JPEG_TYPE: Final = "image/jpeg"

_OWN: Final = frozenset({"status", "decision_id"})
_EMPTY_RESULT: Final = frozenset({RequestKind.PARTICIPANT, RequestKind.REGISTRATION})
_PINS: Final = frozenset({"pin", "guest_pin"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; ``content_type`` is None when there is no body."""

    status: int
    content_type: str | None = None
    body: bytes = field(default=b"", repr=False)


NOTHING: Final = Reply(404)
"""Pexip uses its own configuration; for an avatar, draws a placeholder."""


def normalise(kind: RequestKind, decision: JsonObject) -> dict[str, Json]:
    """Return a decision in the form that is safest to send.

    ``status`` and ``decision_id`` are ours. A null ``result`` counts as none. Where Pexip
    documents an empty result it is there. An empty PIN of a service is left out:
    it may mean "no PIN" or cost the whole answer.
    """
    body = {key: value for key, value in decision.items() if key not in _OWN}
    result = body.get("result")
    if result is None:
        body.pop("result", None)
        if kind in _EMPTY_RESULT:
            body["result"] = {}
    elif kind is RequestKind.SERVICE and isinstance(result, dict):
        body["result"] = {key: value for key, value in result.items() if key not in _PINS or value not in ("", None)}
    return body


def success(body: JsonObject, *, decision_id: str) -> Reply:
    """Return a normalised and checked decision as Pexip's kind of answer."""
    return Reply(200, JSON_TYPE, orjson.dumps({"status": "success", **body, "decision_id": decision_id}))


def no_opinion(kind: RequestKind, *, decision_id: str) -> Reply:
    """Return the answer that leaves the matter to Pexip; an avatar's has no body."""
    if kind is RequestKind.AVATAR:
        return NOTHING
    return Reply(404, JSON_TYPE, orjson.dumps({"status": "no opinion", "decision_id": decision_id}))


def picture(jpeg: bytes) -> Reply:
    """Return an avatar."""
    return Reply(200, JPEG_TYPE, jpeg)


_FALLBACKS: Final[dict[tuple[RequestKind, Fallback], dict[str, Json]]] = {
    (RequestKind.SERVICE, Fallback.CONTINUE): {"action": "continue"},
    (RequestKind.SERVICE, Fallback.REJECT): {"action": "reject"},
    (RequestKind.PARTICIPANT, Fallback.CONTINUE): {"action": "continue", "result": {}},
    (RequestKind.PARTICIPANT, Fallback.REJECT): {"action": "reject", "result": {}},
    (RequestKind.REGISTRATION, Fallback.CONTINUE): {"action": "continue", "result": {}},
    (RequestKind.REGISTRATION, Fallback.REJECT): {"action": "reject", "result": {}},
    (RequestKind.DIRECTORY, Fallback.CONTINUE): {"result": [], "ignore_local": False},
    (RequestKind.DIRECTORY, Fallback.REJECT): {"result": [], "ignore_local": True},
}
"""Bodies without ``status``; what is not here is 404, because Pexip has no other empty form for it."""


def fallback_reply(kind: RequestKind, fallback: Fallback, *, reason: str, decision_id: str) -> Reply:
    """Return the operator's answer for when there is no usable decision.

    ``reason`` is a slug; it goes into the body, which Pexip writes to its support log.
    """
    body = _FALLBACKS.get((kind, fallback))
    if body is None:
        return no_opinion(kind, decision_id=decision_id)
    return success({**body, "fallback": reason}, decision_id=decision_id)
