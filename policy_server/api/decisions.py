"""Lists and shows decisions that were recorded."""

from typing import Final

import falcon
import msgspec

from policy_server.api import query
from policy_server.api.decision_views import DecisionList, DecisionView
from policy_server.api.request import ApiRequest, refused
from policy_server.model.errors import DecisionNotFound
from policy_server.model.logged import DecisionFilter
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role
from policy_server.ports import DecisionStore

USUAL: Final = 100
MOST: Final = 200
_OFF: Final = (
    "Decisions are not kept in the store of this server; POLICY_DECISION_LOG=store has them kept from then on."
)
_view: Final = msgspec.json.Decoder(DecisionView)


class Decisions:
    """The records of decisions; each caller sees those of the repositories that he may read."""

    def __init__(self, kept: DecisionStore | None) -> None:
        """Take where they are kept, None: nowhere."""
        self._kept = kept

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        """List them, newest first."""
        limit = query.integer(req, "limit", least=1, most=MOST) or USUAL
        page = self._store().find(_wanted(req), limit=limit, cursor=query.text(req, "cursor"))
        _show(resp, DecisionList([_view.decode(each.body) for each in page.decisions], page.next_cursor))

    def on_get_item(self, req: ApiRequest, resp: falcon.Response, decision_id: str) -> None:
        """Show one; of several with this id the newest that the caller may see."""
        wanted = DecisionFilter(decision_id=decision_id, repositories=req.principal.repositories(Role.READ))
        found = self._store().find(wanted, limit=1).decisions
        if not found:
            raise DecisionNotFound(f"There is no record of a decision {decision_id}.")
        _show(resp, _view.decode(found[0].body))

    def _store(self) -> DecisionStore:
        if self._kept is None:
            raise DecisionNotFound(_OFF)
        return self._kept


def _wanted(req: ApiRequest) -> DecisionFilter:
    return DecisionFilter(
        policy=_policy(req),
        path=query.text(req, "path"),
        endpoint=query.text(req, "endpoint"),
        kind=query.text(req, "kind"),
        outcome=query.text(req, "outcome"),
        requested_by=query.text(req, "requested_by"),
        decision_id=query.text(req, "decision_id"),
        alias_contains=query.text(req, "alias"),
        failed=True if query.boolean(req, "errors") else None,
        since=query.moment(req, "since"),
        until=query.moment(req, "until"),
        repositories=req.principal.repositories(Role.READ),
    )


def _policy(req: ApiRequest) -> PolicyId | None:
    text = query.text(req, "policy")
    try:
        return None if text is None else PolicyId.parse(text)
    except ValueError as error:
        raise refused("policy", 'invalid value for "policy", must be repository/group/name/version') from error


def _show(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"
