"""The part of the route table for those who administer policies."""

from typing import Final

from policy_server.api import admin_models as models
from policy_server.api.audit import AuditTrail
from policy_server.api.editing import Editing
from policy_server.api.history import History
from policy_server.api.models import PolicyDetail
from policy_server.api.policies import Policies
from policy_server.api.table import Param, Route

_ITEM: Final = "/v1/policies/{repository}/{group}/{policy}/{version}"
_REVISIONS: Final = f"{_ITEM}/revisions"
_MATCH: Final = (
    Param("if-match", "Change it only if it is still what this ETag names.", place="header"),
    Param("if-none-match", "`*`: only create it.", place="header"),
)
_DRY: Final = Param("dry_run", "Check only, and publish nothing.", "boolean")
_PAGE: Final = (
    Param("limit", "At most this many, 1 to 1000.", "integer"),
    Param("cursor", "Where the page before ended: its next_cursor."),
)
_SEARCH: Final = (
    Param("policy", "repository/group/name/version, or what else was acted on."),
    Param("actor", "Who did it."),
    Param("action", "publish, change-data, roll-back, delete, lock, unlock."),
    Param("since", "Not before this time (RFC 3339)."),
    Param("until", "Before this time."),
)
_EDITS: Final = (400, 404, 409, 412, 413, 422, 503)

ADMIN: Final = (
    Route("GET", _ITEM, Policies, "show", "Show everything about one policy.", "Administration", "item",
          answer=PolicyDetail, faults=(404, 503)),
    Route("PUT", _ITEM, Editing, "put", "Create or replace a policy.", "Administration", "", answer=models.Published,
          params=(*_MATCH, _DRY), faults=(400, 409, 412, 413, 422, 503), body=models.PolicyDraft, good=(200, 201)),
    Route("DELETE", _ITEM, Editing, "delete", "Remove a policy with its history.", "Administration", "", media="",
          params=_MATCH[:1], faults=(400, 404, 409, 412, 503), good=(204,)),
    Route("GET", f"{_ITEM}/data", Editing, "data", "The data document of a policy.", "Administration", "data",
          faults=(404, 503)),
    Route("PUT", f"{_ITEM}/data", Editing, "put_data", "Replace the data document.", "Administration", "data",
          answer=models.Published, params=_MATCH[:1], faults=_EDITS, body=dict),
    Route("POST", f"{_ITEM}/check", Editing, "check", "Say what publishing would say, and run tests.",
          "Administration", "check", answer=models.Checked, faults=(400, 413, 503), body=models.PolicyDraft),
    Route("POST", f"{_ITEM}/rollback", Editing, "rollback", "Make a kept revision the newest one.", "Administration",
          "rollback", answer=models.Published, params=_MATCH[:1], faults=_EDITS, body=models.RollBack),
    Route("GET", _REVISIONS, History, "revisions", "The history of a policy, newest first.", "Administration", "",
          answer=models.RevisionList, params=_PAGE, faults=(400, 404, 503)),
    Route("GET", f"{_REVISIONS}/{{n}}", History, "revision", "One revision with its texts.", "Administration", "item",
          answer=models.RevisionDetail, faults=(400, 404, 503)),
    Route("GET", f"{_REVISIONS}/{{n}}/diff/{{other}}", History, "diff", "What is different between two revisions.",
          "Administration", "diff", answer=models.RevisionDiff, faults=(400, 404, 503)),
    Route("GET", "/v1/audit", AuditTrail, "audit", "Who changed what, newest first.", "Administration", "",
          answer=models.AuditList, params=(*_SEARCH, *_PAGE), faults=(400, 503)),
)  # fmt: skip
"""Their errors are problem documents."""
