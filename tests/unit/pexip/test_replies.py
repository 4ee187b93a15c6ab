"""Bytes for Pexip."""

import orjson
import pytest

from policy_server.model.values import Json
from policy_server.pexip.guard import check, errors
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.pexip.replies import fallback_reply, no_opinion, normalise, picture, success


def test_success_says_so_and_carries_the_decision_id() -> None:
    """The status Pexip wants comes first, the id joins its log with ours."""
    reply = success({"action": "continue", "result": {}}, decision_id="d-1")

    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.body == b'{"status":"success","action":"continue","result":{},"decision_id":"d-1"}'


@pytest.mark.parametrize(
    ("kind", "decision", "expected"),
    [
        (RequestKind.SERVICE, {"status": "fail", "decision_id": "x", "action": "continue"}, {"action": "continue"}),
        (RequestKind.SERVICE, {"action": "continue", "result": None}, {"action": "continue"}),
        (RequestKind.SERVICE, {"result": {"pin": "", "guest_pin": None, "name": ""}}, {"result": {"name": ""}}),
        (RequestKind.SERVICE, {"result": {"pin": "2931"}}, {"result": {"pin": "2931"}}),
        (RequestKind.PARTICIPANT, {"action": "continue"}, {"action": "continue", "result": {}}),
        (RequestKind.REGISTRATION, {"action": "reject", "result": None}, {"action": "reject", "result": {}}),
        (RequestKind.REGISTRATION, {"result": {"username": "", "password": ""}}, None),
    ],
)
def test_a_decision_gets_its_safest_form(
    kind: RequestKind, decision: dict[str, Json], expected: dict[str, Json] | None
) -> None:
    """Our keys are ours, empty PINs go, an empty result is there where Pexip wants one."""
    assert normalise(kind, decision) == (decision if expected is None else expected)


def test_no_opinion_is_a_404() -> None:
    """Pexip then uses its own configuration; an avatar's 404 has no body."""
    assert no_opinion(RequestKind.SERVICE, decision_id="d").status == 404
    assert no_opinion(RequestKind.AVATAR, decision_id="d").body == b""


def test_a_picture_is_a_jpeg() -> None:
    """Avatars are the one answer that is not JSON."""
    assert picture(b"x").content_type == "image/jpeg"


@pytest.mark.parametrize(
    ("kind", "fallback", "expected"),
    [
        (RequestKind.SERVICE, Fallback.CONTINUE, {"action": "continue"}),
        (RequestKind.SERVICE, Fallback.REJECT, {"action": "reject"}),
        (RequestKind.PARTICIPANT, Fallback.CONTINUE, {"action": "continue", "result": {}}),
        (RequestKind.PARTICIPANT, Fallback.REJECT, {"action": "reject", "result": {}}),
        (RequestKind.REGISTRATION, Fallback.CONTINUE, {"action": "continue", "result": {}}),
        (RequestKind.REGISTRATION, Fallback.REJECT, {"action": "reject", "result": {}}),
        (RequestKind.DIRECTORY, Fallback.CONTINUE, {"result": [], "ignore_local": False}),
        (RequestKind.DIRECTORY, Fallback.REJECT, {"result": [], "ignore_local": True}),
    ],
)
def test_each_kind_has_its_own_shape_of_fallback(
    kind: RequestKind, fallback: Fallback, expected: dict[str, Json]
) -> None:
    """The fallback is a valid answer of its kind, and says why it was sent."""
    reply = fallback_reply(kind, fallback, reason="policy-locked", decision_id="d")

    assert reply.status == 200
    assert orjson.loads(reply.body) == {
        "status": "success",
        **expected,
        "fallback": "policy-locked",
        "decision_id": "d",
    }
    assert errors(check(kind, expected)) == []


@pytest.mark.parametrize("kind", RequestKind)
def test_not_found_is_a_fallback_for_all(kind: RequestKind) -> None:
    """Leaving it to Pexip is always possible."""
    assert fallback_reply(kind, Fallback.NOT_FOUND, reason="x", decision_id="d").status == 404


@pytest.mark.parametrize("kind", [RequestKind.AVATAR, RequestKind.MEDIA_LOCATION])
@pytest.mark.parametrize("fallback", Fallback)
def test_some_kinds_have_no_other_fallback(kind: RequestKind, fallback: Fallback) -> None:
    """Pexip knows no empty picture and no empty location."""
    assert fallback_reply(kind, fallback, reason="x", decision_id="d").status == 404
