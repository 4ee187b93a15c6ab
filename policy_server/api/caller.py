"""Tells who makes a request, for records of changes."""

import falcon

from policy_server.api.request import ApiRequest
from policy_server.audit.caller import ACTOR_KEY, ANONYMOUS, Caller


def actor_of(req: falcon.Request) -> str:
    """Return who asks: the user of a command in this process, the principal that authentication found, or nobody."""
    if req.env.get(ACTOR_KEY):
        return str(req.env[ACTOR_KEY])
    principal = getattr(req.context, "principal", None)
    return ANONYMOUS if principal is None else str(getattr(principal, "name", principal))


def caller_of(req: ApiRequest) -> Caller:
    """Return who asks and from where.

    SECURITY: the address is the socket's. Headers such as X-Forwarded-For can be made up.
    """
    return Caller(actor_of(req), str(req.env.get("REMOTE_ADDR") or ""), req.request_id)
