"""The part of the route table for callers who speak OPA's data API or AuthZEN."""

from typing import Final

from policy_server.api import authzen_models as models
from policy_server.api.authzen import AccessApi
from policy_server.api.errors import Shape
from policy_server.api.opa import DataApi
from policy_server.api.table import Param, Route

_DATA: Final = "/v1/data/{path:path}"
_SWITCHES: Final = (
    Param("metrics", "Say how long it took.", "boolean"),
    Param("provenance", "Say which revision answered.", "boolean"),
    Param("pretty", "Lay the answer out for people.", "boolean"),
    Param("strict-builtin-errors", "Make a failing builtin an error.", "boolean"),
    Param("repository", "The policy of this repository."),
    Param("version", "This version instead of the highest one."),
)
_FAULTS: Final = (400, 403, 409, 413, 500, 503)
_ACCESS: Final = (400, 403, 404, 413, 500, 503)
_TEXT: Final = Shape.TEXT

DOORS: Final = (
    Route("GET", _DATA, DataApi, "data_get", "Ask like OPA: a package, or what is in it.", "OPA", "",
          params=(*_SWITCHES, Param("input", "The input, as JSON.")), faults=_FAULTS),
    Route("POST", _DATA, DataApi, "data_post", "Ask like OPA, with the input in the body.", "OPA", "",
          params=_SWITCHES, faults=_FAULTS, body=dict),
    Route("GET", "/.well-known/authzen-configuration", AccessApi, "authzen_configuration",
          "Where AuthZEN's requests go.", "AuthZEN", "", _TEXT, models.AccessMetadata, faults=(404,)),
    Route("POST", "/access/v1/evaluation", AccessApi, "access_evaluation",
          "May this subject do this to that resource?", "AuthZEN", "", _TEXT, models.AccessDecision,
          faults=_ACCESS, body=models.AccessRequest),
    Route("POST", "/access/v1/evaluations", AccessApi, "access_evaluations", "Several such questions at once.",
          "AuthZEN", "batch", _TEXT, models.AccessDecisions, faults=_ACCESS, body=models.AccessRequests),
)  # fmt: skip
