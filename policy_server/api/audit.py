"""Lists who changed what."""

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.admin_models import AuditList, AuditView
from policy_server.api.request import ApiRequest
from policy_server.model.audit import AuditFilter, AuditRecord
from policy_server.ports import AuditStore

USUAL = 100
MOST = 1000


class AuditTrail:
    """The audit records."""

    def __init__(self, records: AuditStore) -> None:
        """Take where they are kept."""
        self._records = records

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        """List them, newest first."""
        wanted = AuditFilter(
            actor=query.text(req, "actor"),
            action=query.text(req, "action"),
            subject=query.text(req, "policy"),
            since=query.moment(req, "since"),
            until=query.moment(req, "until"),
        )
        limit = query.integer(req, "limit", least=1, most=MOST) or USUAL
        page = self._records.find(wanted, limit=limit, cursor=query.text(req, "cursor"))
        resp.content_type = falcon.MEDIA_JSON
        document = AuditList([_view(record) for record in page.records], page.next_cursor)
        resp.data = msgspec.json.encode(document) + b"\n"


def _view(record: AuditRecord) -> AuditView:
    return AuditView(
        id=record.id,
        at=record.at,
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        outcome=record.outcome,
        origin=record.origin,
        request_id=record.request_id,
        before=record.before,
        after=record.after,
    )
