"""Lets requests in: who asks, and whether they may have what they ask for."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final

import falcon

from policy_server.api.metrics import Metrics
from policy_server.api.request import ApiRequest
from policy_server.api.roles import Need, Open, need_of
from policy_server.api.table import Route
from policy_server.auth.gate import Gate, require
from policy_server.model.errors import Forbidden, KeysUnavailable, NotAuthenticated, PolicyServerError
from policy_server.model.principal import Role

log = logging.getLogger(__name__)

REALM: Final = 'Bearer realm="policy-server"'

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")
"""What a scope may be of in a header (RFC 6750, section 3); repositories may have any name."""


class Access:
    """Middleware that names who asks and refuses who may not, before the route answers."""

    def __init__(self, gate: Gate, routes: Iterable[Route]) -> None:
        """Take who knows callers, and the route table."""
        self._gate = gate
        self._needs: Mapping[tuple[str, str], Need] = {
            (route.path, route.method): need_of(route.operation) for route in routes
        }

    def process_resource(
        self, req: ApiRequest, _resp: falcon.Response, _resource: object, params: Mapping[str, str]
    ) -> None:
        """Let in or raise; a method that the address does not answer needs nothing, its answer is 405."""
        need = self._needs.get((req.uri_template or "", req.method))
        if need is None or isinstance(need, Open):
            return
        req.principal = self._gate.admit(req.env)
        if isinstance(need, Role):
            require(req.principal, need, params.get("repository"))
        elif req.principal.repositories(need.role) == frozenset():
            require(req.principal, need.role)


class Refusals:
    """Counts and logs who was not let in, and says how to come in.

    SECURITY: neither the header nor the token is in the log line, only the reason.
    """

    def __init__(self, metrics: Metrics, gate: Gate) -> None:
        """Take the counters, and who knows the address behind proxies."""
        self._metrics = metrics
        self._gate = gate

    def __call__(self, req: ApiRequest, resp: falcon.Response, error: PolicyServerError) -> None:
        """Note a refusal; other errors are none."""
        if not isinstance(error, NotAuthenticated | Forbidden | KeysUnavailable):
            return
        self._metrics.auth_failure(error.kind)
        log.warning(
            "a request was not let in: %s",
            error.message,
            extra={
                "action": "refused",
                "reason": error.kind,
                "request_id": req.request_id,
                "principal": req.principal.name,
                "remote": str(self._gate.client(req.env) or "unknown"),
            },
        )
        if isinstance(error, NotAuthenticated):
            problem = "" if error.kind == "missing" else ', error="invalid_token"'
            resp.set_header("www-authenticate", f"{REALM}{problem}")
        elif isinstance(error, Forbidden) and error.needed:
            scope = f', scope="{error.needed}"' if _SCOPE.fullmatch(error.needed) else ""
            resp.set_header("www-authenticate", f'{REALM}, error="insufficient_scope"{scope}')
