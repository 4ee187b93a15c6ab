"""The part of the route table for records of decisions."""

from typing import Final

from policy_server.api.decision_views import DecisionList, DecisionView
from policy_server.api.decisions import Decisions
from policy_server.api.table import Param, Route

_SEARCH: Final = (
    Param("policy", "Decisions of repository/group/name/version."),
    Param("path", "What was evaluated, such as pexip/service/decision."),
    Param("endpoint", "pexip, evaluation, validation, data or authzen."),
    Param("kind", "A kind of Pexip request: service, participant, media_location, avatar, directory, registration."),
    Param("outcome", "answered, failed; for Pexip answered, no_opinion, fallback or off."),
    Param("alias", "Part of the alias, whatever its case."),
    Param("requested_by", "Who asked."),
    Param("decision_id", "Exactly this decision id."),
    Param("errors", "Only those with an error.", "boolean"),
    Param("since", "Not before this time (RFC 3339)."),
    Param("until", "Before this time."),
    Param("limit", "At most this many, 1 to 200; 100 without it.", "integer"),
    Param("cursor", "Where the page before ended: its next_cursor."),
)

DECISIONS: Final = (
    Route("GET", "/v1/decisions", Decisions, "decisions", "What was decided, newest first.", "Decisions", "",
          answer=DecisionList, params=_SEARCH, faults=(400, 404, 503)),
    Route("GET", "/v1/decisions/{decision_id}", Decisions, "decision", "One decision.", "Decisions", "item",
          answer=DecisionView, faults=(404, 503)),
)  # fmt: skip
"""Their errors are problem documents."""
