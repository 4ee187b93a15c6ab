"""Publishes CloudEvents on a NATS subject.

The client needs an event loop; it has one in a thread of its own, started at
the first event and therefore after every fork, and only where events are
delivered. It never reconnects by itself: what cannot be published stays in the
outbox, and the next attempt connects anew.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Final

import nats.errors
from nats.aio.client import Client

from policy_server.events import payloads
from policy_server.events.backoff import Backoff
from policy_server.events.payloads import Form
from policy_server.events.sink import Undelivered
from policy_server.model.event import ChangeEvent
from policy_server.model.policy import PolicyId
from policy_server.version import VERSION

_LONGEST: Final = 30.0  # a broker that is back is found soon
_CONNECT: Final = 2
_GRACE: Final = 1.0
log = logging.getLogger(__name__)


class Nats:
    """The sink of one NATS subject (core NATS, no JetStream, no headers: as the policy service)."""

    kind = "nats"
    ours = True

    def __init__(
        self, servers: Sequence[str], subject: str, *, form: Form, backoff: Backoff | None = None, timeout: float = 5.0
    ) -> None:
        """Take the servers of one cluster; an event must be with one of them within ``timeout`` seconds."""
        given = backoff or Backoff()
        self.backoff = Backoff(given.first, min(given.longest, _LONGEST), given.total)
        self._servers = list(servers)
        self._subject = subject
        self._form = form
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._complaint: Exception | None = None
        self._lock = threading.Lock()

    def targets(self, _policy: PolicyId) -> list[str]:
        """Return the one subject."""
        return [f"{self.kind}:{self._subject}"]

    def send(self, target: str, event: ChangeEvent) -> None:
        """Publish one event and wait until the server has taken it."""
        if target not in self.targets(event.policy):
            raise Undelivered("this subject is not in the settings any more", final=True)
        body = payloads.cloud_event(event, self._form)
        try:
            self._run(self._publish(body))
        except nats.errors.MaxPayloadError as error:
            raise Undelivered("the event is larger than NATS takes", final=True) from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            # SECURITY: the library's own texts can repeat the address with its password.
            raise Undelivered(f"NATS: {_reason(error)}", away=True) from error

    def close(self) -> None:
        """Close the connection and end the thread; safe to repeat."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._disconnect(), loop).result(_GRACE)
        except (nats.errors.Error, OSError, TimeoutError):
            log.debug("NATS went away before it was left")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_GRACE)
        if not thread.is_alive():
            loop.close()

    def _run(self, work: Coroutine[object, object, None]) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
                self._thread.start()
            future: concurrent.futures.Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(self._timeout + 2 * _GRACE)

    async def _publish(self, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._connected()
                self._complaint = None  # that one server of several is away is no failure
                await client.publish(self._subject, body)
                # The library may send its question ahead of the event, which waits in a buffer; when the first
                # answer is there, the event is under way. The second answer tells that the server has read it,
                # and comes after what the server thinks of it.
                await client.flush()
                await client.flush()
        except BaseException:
            await self._disconnect()
            raise
        if self._complaint is not None:
            raise self._complaint

    async def _connected(self) -> Client:
        if self._client is None or not self._client.is_connected:
            await self._disconnect()
            # Kept before it is connected: one that was refused has a socket to close as well.
            self._client = Client()
            await self._client.connect(
                servers=self._servers,
                name=f"policy-server/{VERSION}",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=_CONNECT,
                error_cb=self._complain,
            )
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            # The library closes in the background what the server refused.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=_GRACE)

    async def _complain(self, error: Exception) -> None:
        """Keep what the server said beside the protocol, such as a refused subject."""
        self._complaint = error


def _reason(error: Exception) -> str:
    text = str(error).lower()
    if "authorization" in text or "credentials" in text:
        return "the server refuses these credentials"
    if "permissions violation" in text:
        return "the server does not allow this subject"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, nats.errors.NoServersError | ConnectionError):
        return "no server can be reached"
    return "the connection failed"
