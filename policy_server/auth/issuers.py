"""Gives each token to what is set about its issuer, and to nothing else."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping

import msgspec

from policy_server.auth.bearer import LONGEST, Bearer
from policy_server.model.errors import NotAuthenticated
from policy_server.model.principal import Principal
from policy_server.model.status import State, Status


class Issuers:
    """Turns tokens of several issuers into principals; safe for threads.

    SECURITY: who a token says it is of decides by whose keys and rules it is checked, before anything of it is
    believed. No other issuer's keys are tried, so equal key ids do not mix, and no rules but its own apply.
    """

    def __init__(self, issuers: Mapping[str, Bearer], others: Bearer | None = None) -> None:
        """Take who checks the tokens of each issuer (by ``iss``), and who checks all others."""
        self._issuers = issuers
        self._others = others

    def identify(self, token: str) -> Principal:
        """Return whose token it is; raises as ``Bearer.identify`` does."""
        if len(token) > LONGEST:
            raise NotAuthenticated(f"The token is longer than {LONGEST} bytes.", kind="malformed")
        bearer = self._issuers.get(_claimed(token), self._others)
        if bearer is None:
            raise NotAuthenticated("The token is of an issuer that is not trusted here.", kind="issuer")
        return bearer.identify(token)


def _claimed(token: str) -> str:
    """Return the issuer a token says it is of, unchecked; empty when it says none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise NotAuthenticated("The token is no JSON Web Token.", kind="malformed")
    try:
        text = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        issuer = msgspec.json.decode(text, type=dict[str, object]).get("iss")
    except (binascii.Error, ValueError, RecursionError) as error:
        raise NotAuthenticated("The token is no JSON Web Token.", kind="malformed") from error
    return issuer if isinstance(issuer, str) else ""


def summed(statuses: Iterable[tuple[str, Status]]) -> Status:
    """Return the worst status; its message has a part for each issuer, by name (empty: those without one)."""
    found = list(statuses)
    worst = max((status for _, status in found), key=lambda status: _SEVERITY[status.state])
    told = [f"{name}: {status.message}" if name else status.message for name, status in found]
    return Status(worst.state, "; ".join(told), worst.since)


_SEVERITY = {State.READY: 0, State.STARTING: 1, State.DEGRADED: 2}
