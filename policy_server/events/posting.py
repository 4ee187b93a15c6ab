"""Posts a body and judges the answer."""

from collections.abc import Mapping
from typing import Final

from policy_server.events.sink import Undelivered
from policy_server.model.errors import FetchError, TargetRefused
from policy_server.net.client import GuardedClient

GONE: Final = 410


def post(client: GuardedClient, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a body and return the status the receiver answered.

    Raises:
        Undelivered: the receiver did not answer in time, or is in a forbidden network.
    """
    try:
        return client.fetch("POST", url, body=body, headers=headers).status
    except TargetRefused as error:
        # Whoever allows the network can have the dead letters sent again.
        raise Undelivered(error.message, final=True, shown="the receiver is in a forbidden network") from error
    except FetchError as error:
        # SECURITY: the message names the address, and what protects a receiver may be in its path.
        raise Undelivered(error.message, away=True, shown="the receiver does not answer") from error


def accept(status: int) -> None:
    """Take any 2xx as success; Undelivered for everything else, redirects too."""
    if not 200 <= status < 300:
        raise Undelivered(f"the receiver answered {status}")
