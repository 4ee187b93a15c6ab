"""Sends CloudEvents over HTTP to the addresses the settings name."""

import hashlib
from collections.abc import Sequence

from policy_server.events import payloads
from policy_server.events.backoff import Backoff
from policy_server.events.payloads import Form
from policy_server.events.posting import accept, post
from policy_server.events.sink import Undelivered
from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient


class CloudEventsHttp:
    """The sink of fixed addresses, in CloudEvents' structured mode."""

    kind = "http"
    ours = True

    def __init__(
        self, urls: Sequence[str], client: GuardedClient, *, form: Form, backoff: Backoff | None = None
    ) -> None:
        """Take the addresses; they may hold secrets, so targets are named by a digest."""
        self.backoff = backoff or Backoff()
        self._urls = {f"{self.kind}:{hashlib.sha256(url.encode()).hexdigest()[:12]}": url for url in urls}
        self._client = client
        self._form = form

    def targets(self, _policy: PolicyId) -> list[str]:
        """Return all addresses."""
        return list(self._urls)

    def send(self, target: str, event: ChangeEvent) -> None:
        """Post one event."""
        url = self._urls.get(target)
        if url is None:
            raise Undelivered("this address is not in the settings any more", final=True)
        body = payloads.cloud_event(event, self._form)
        accept(post(self._client, url, body, {"Content-Type": payloads.CLOUD_EVENT}))

    def close(self) -> None:
        """Do nothing: each call has a connection of its own."""
