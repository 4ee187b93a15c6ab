"""Tells who makes a request, for records of changes."""

from policy_server.api.request import ApiRequest
from policy_server.audit.caller import ACTOR_KEY, Caller
from policy_server.auth.gate import Gate


def actor_of(req: ApiRequest) -> str:
    """Return who asks: the name that authentication found; of a command, the user who runs it."""
    named = req.env.get(ACTOR_KEY)
    return str(named) if named else req.principal.name


def caller_of(gate: Gate, req: ApiRequest) -> Caller:
    """Return who asks and from where.

    SECURITY: the address is the gate's. Headers such as X-Forwarded-For can be made up; they are
    believed from trusted proxies only, and an address that cannot be known stays empty.
    """
    address = gate.client(req.env)
    return Caller(actor_of(req), "" if address is None else str(address), req.request_id)
