"""Tells who makes a request, for records of changes."""

import falcon

from policy_server.api.request import ApiRequest
from policy_server.audit.caller import ACTOR_KEY, ANONYMOUS, Caller


def actor_of(req: falcon.Request) -> str:
    """Return who asks: the principal that authentication found, or ``anonymous``."""
    principal = getattr(req.context, "principal", None)
    if principal is not None:
        return str(getattr(principal, "name", principal))
    return str(req.env.get(ACTOR_KEY) or ANONYMOUS)


def caller_of(req: ApiRequest) -> Caller:
    """Return who asks and from where.

    SECURITY: the address is the socket's. Headers such as X-Forwarded-For can be made up.
    """
    return Caller(actor_of(req), str(req.env.get("REMOTE_ADDR") or ""), req.request_id)
