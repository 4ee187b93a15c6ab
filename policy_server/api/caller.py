"""Tells who makes a request, for records of changes."""

from policy_server.api.request import ApiRequest
from policy_server.audit.caller import ACTOR_KEY, Caller


def actor_of(req: ApiRequest) -> str:
    """Return who asks: the name that authentication found; of a command, the user who runs it."""
    named = req.env.get(ACTOR_KEY)
    return str(named) if named else req.principal.name


def caller_of(req: ApiRequest) -> Caller:
    """Return who asks and from where.

    SECURITY: the address is the socket's. Headers such as X-Forwarded-For can be made up.
    """
    return Caller(actor_of(req), str(req.env.get("REMOTE_ADDR") or ""), req.request_id)
