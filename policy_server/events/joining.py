"""Makes the sinks that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from policy_server.events.backoff import Backoff
from policy_server.events.cloud import CloudEventsHttp
from policy_server.events.payloads import Form
from policy_server.events.sink import Sink
from policy_server.model.errors import SettingsError
from policy_server.net.client import GuardedClient


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is told besides subscribers, and how; addresses may hold secrets.

    ``retry`` is the first pause and ``patience`` all of them together, in
    seconds; ``timeout`` is the time for one delivery.
    """

    nats_servers: Sequence[str]
    nats_subject: str
    http_urls: Sequence[str]
    form: Form
    timeout: float
    retry: float
    patience: float

    @property
    def backoff(self) -> Backoff:
        """When failed deliveries are tried again."""
        return Backoff(first=self.retry, total=self.patience)


def make_sinks(wanted: Wanted, client: GuardedClient) -> list[Sink]:
    """Make the sinks of the settings; SettingsError when NATS is wanted and its client is not installed."""
    sinks: list[Sink] = []
    if wanted.http_urls:
        sinks.append(CloudEventsHttp(wanted.http_urls, client, form=wanted.form, backoff=wanted.backoff))
    if wanted.nats_servers:
        sinks.append(_nats(wanted))
    return sinks


def _nats(wanted: Wanted) -> Sink:
    try:
        from policy_server.events.nats import Nats  # noqa: PLC0415 - the client is an extra
    except ImportError as error:
        raise SettingsError("NATS needs a client; install: policy-server[nats]") from error
    timeout = min(wanted.timeout, 5.0)
    return Nats(wanted.nats_servers, wanted.nats_subject, form=wanted.form, backoff=wanted.backoff, timeout=timeout)
