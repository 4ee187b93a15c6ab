"""What is sent says which policy changed, and when asked what about it."""

import json
from datetime import UTC, datetime, timedelta, timezone

from policy_server.events import payloads
from policy_server.events.payloads import Form
from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId

POLICY = PolicyId("demo", "g", "door", "1.0")
EVENT = ChangeEvent(
    id="0c6f3b5e-0000-4000-8000-000000000000",
    stamp=7,
    type="published",
    policy=POLICY,
    revision=3,
    changed=("rego", "data"),
    actor="ada",
    at=datetime(2026, 3, 1, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1))),
)


def test_a_webhook_has_the_four_parts_and_nothing_else() -> None:
    """The policy service's body, in its order."""
    assert payloads.webhook(POLICY) == b'{"repository":"demo","name":"door","version":"1.0","group":"g"}'


def test_the_legacy_cloud_event_is_the_policy_services() -> None:
    """Type, source and members; the id stays that of the event."""
    assert json.loads(payloads.cloud_event(EVENT, Form.LEGACY)) == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "policy",
        "type": "update_policy",
        "datacontenttype": "application/json",
        "time": "2026-03-01T12:00:00.000005Z",
        "data": {"repository": "demo", "name": "door", "version": "1.0", "group": "g"},
    }


def test_the_richer_cloud_event_says_what_changed_by_whom() -> None:
    """It also names the policy in source and subject."""
    said = json.loads(payloads.cloud_event(EVENT, Form.CHANGED))

    assert (said["source"], said["subject"], said["type"]) == (
        "/policies/demo/g/door/1.0",
        "demo/g/door/1.0",
        "policy.changed.v1",
    )
    assert said["data"] == {
        "repository": "demo",
        "name": "door",
        "version": "1.0",
        "group": "g",
        "change": "published",
        "changed": ["rego", "data"],
        "revision": 3,
        "actor": "ada",
        "stamp": 7,
    }


def test_times_are_utc() -> None:
    """To the microsecond, also when there are none."""
    assert payloads.timestamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000Z"
