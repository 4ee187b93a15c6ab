"""Hands what a request decided to the decision log."""

from collections.abc import Callable, Sequence

import falcon

from policy_server.api.request import ApiRequest
from policy_server.decisions.taking import Request, Slip, begin, end
from policy_server.tracing.trace import fields

Take = Callable[[Sequence[Slip], Request], None]
"""Has the decisions of a request recorded: ``DecisionLog.take``."""


class Taking:
    """Middleware that notes decisions from the beginning of a request, and hands them over when it was answered.

    PERF: a few references; docs/decisions.md has the measurement. There is no such middleware where the log is off.
    """

    def __init__(self, take: Take) -> None:
        """Take who records."""
        self._take = take

    def process_request(self, _req: ApiRequest, _resp: falcon.Response) -> None:
        """Begin."""
        begin()

    def process_response(
        self,
        req: ApiRequest,
        resp: falcon.Response,
        _resource: object,
        _succeeded: bool,
        /,
    ) -> None:
        """Hand over what was decided, if anything was."""
        slips = end()
        if not slips:
            return
        request = Request(
            handler=req.uri_template or "",
            status=resp.status_code,
            requested_by=PEXIP if slips[0].seen is not None else req.principal.name,
            request_id=req.request_id,
            trace=fields(),
        )
        self._take(slips, request)


PEXIP = "pexip"
"""Who asks on Pexip's addresses, where nobody needs a token."""
