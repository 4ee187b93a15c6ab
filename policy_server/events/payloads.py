"""The JSON texts that are sent.

The legacy ones are the policy service's, member for member; CloudEvents are
version 1.0 in structured JSON.
"""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId

CLOUD_EVENT: str = "application/cloudevents+json; charset=utf-8"


class Form(StrEnum):
    """LEGACY: which policy, as the policy service has it. CHANGED: also what changed, by whom, revision."""

    LEGACY = "legacy"
    CHANGED = "changed"


def webhook(policy: PolicyId) -> bytes:
    """Return the body of a webhook."""
    return msgspec.json.encode(_named(policy))


def cloud_event(event: ChangeEvent, form: Form) -> bytes:
    """Return a CloudEvent; its id stays the same in every delivery, so receivers can drop doubles."""
    legacy = form is Form.LEGACY
    policy = event.policy
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": "policy" if legacy else f"/policies/{policy}",
        "type": "update_policy" if legacy else "policy.changed.v1",
        **({} if legacy else {"subject": str(policy)}),
        "datacontenttype": "application/json",
        "time": timestamp(event.at),
        "data": _named(policy) | ({} if legacy else _change(event)),
    }
    return msgspec.json.encode(document)


def timestamp(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _named(policy: PolicyId) -> dict[str, object]:
    return {
        "repository": policy.repository,
        "name": policy.name,
        "version": policy.version,
        "group": policy.group,
    }


def _change(event: ChangeEvent) -> dict[str, object]:
    return {
        "change": event.type,
        "changed": event.changed,
        "revision": event.revision,
        "actor": event.actor,
        "stamp": event.stamp,
    }
