"""Two servers on one database, each behind a proxy that can kill its workers, and whom they call."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import requests
from acceptance_server import Server, parent, wait_until
from crash_proxy import Proxy, Trap
from crash_receivers import Hook, Source
from crash_wire import MongoReader, PostgresReader
from database_servers import mongodb_url, postgresql_url

URLS: Final = {"postgresql": postgresql_url, "mongodb": mongodb_url}
READERS: Final = {"postgresql": PostgresReader, "mongodb": MongoReader}
KINDS: Final = ("SERVICE", "PARTICIPANT", "MEDIA_LOCATION", "AVATAR", "DIRECTORY", "REGISTRATION")
DOOR: Final = "door"
SHUT: Final = "shut"
FETCHED: Final = "fetched"

_SETTINGS: Final = {
    "POLICY_BUNDLED": "false",
    "POLICY_FOLDERS": "",
    "POLICY_LOG_LEVEL": "warning",
    "POLICY_ALLOWED_NETWORKS": "127.0.0.1/32",
    "POLICY_WORKER_POLL": "0.1",
    "POLICY_EVENT_POLL": "0.1",
    "POLICY_EVENT_TIMEOUT": "0.5",
    "POLICY_EVENT_RETRY": "0.1",
    "POLICY_REFRESH_POLL": "0.1",
    "POLICY_REFRESH_TIMEOUT": "1",
    "POLICY_REFRESH_RETRY": "0.1",
    **{f"POLICY_PEXIP_{kind}_ENABLED": "false" for kind in KINDS},
}


@dataclass
class World:
    """What one series of crashes happens to.

    ``first`` is the server that starts first, and so does the background work; ``whole`` has all of a server killed.
    ``number`` is what was published last, ``killed`` says who died, and when by the monotonic clock.
    """

    directory: Path
    backend: str
    workers: int = 2
    first: int = 0
    whole: bool = False
    number: int = 1
    killed: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Name everything; nothing is started."""
        self.url = URLS[self.backend]()
        self.trap = Trap(self.kill)
        port = urlsplit(self.url).port or 0
        self.proxies = [Proxy(port, READERS[self.backend], self.trap) for _ in range(2)]
        self.servers = [self._server(name, proxy) for name, proxy in zip("ab", self.proxies, strict=True)]
        self.source, self.hook = Source(), Hook()

    def _server(self, name: str, proxy: Proxy) -> Server:
        home = self.directory / name
        home.mkdir(parents=True)
        state = {"POLICY_STORAGE_URL": _through(self.url, proxy.port), "WEB_CONCURRENCY": str(self.workers)}
        return Server(home, {**_SETTINGS, **state})

    def start(self) -> None:
        """Start everything; policies: one to publish, one that is locked."""
        for proxy in self.proxies:
            proxy.start()
        self.servers[self.first].start()
        self.servers[1 - self.first].start()
        for name in (DOOR, SHUT):
            assert self.put(0, name, 1).ok
        self.subscribe(DOOR)
        assert self.call(0, "POST", f"/policy/crash/g/{SHUT}/1.0/lock").ok

    def close(self) -> None:
        """End everything that was started here."""
        self.trap.disarm()
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                server.stop()
        for each in (*self.proxies, self.source, self.hook):
            each.close()

    # ---- asking

    def call(self, server: int, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request over a connection of its own."""
        return requests.request(method, self.servers[server].url + path, timeout=60, **options)

    def put(self, server: int, name: str, number: int, *, fetched: bool = False) -> requests.Response:
        """Publish a policy whose Rego and data both carry the number."""
        rego = f"package g.{name}\n\nrego := {number}\n\nkept := data.n\n\nagain := data.again\n"
        draft: dict[str, object] = {"rego": rego, "data": {"n": number, "again": number}}
        if fetched:
            draft["dataConfig"] = {"url": self.source.url, "method": "GET", "period": "1s"}
        return self.call(server, "PUT", f"/v1/policies/crash/g/{name}/1.0", json=draft)

    def subscribe(self, name: str) -> None:
        """Have the receiver of webhooks told about a policy."""
        wanted = {"webhook_url": self.hook.url, "subscriber": "crashes"}
        assert self.call(0, "POST", f"/policy/crash/g/{name}/1.0/notifychange", json=wanted).ok

    # ---- killing

    def kill(self, pid: int) -> None:
        """Kill a worker, or all of its server."""
        for name, server in zip("ab", self.servers, strict=True):
            if server.process is not None and parent(pid) == server.process.pid:
                dying = [server.process.pid, *server.workers()] if self.whole else [pid]
                self.killed.append((name, time.monotonic()))
                for each in dying:
                    os.kill(each, signal.SIGKILL)
                wait_until(lambda dying=dying: not any(map(parent, dying)), f"{dying} are dead")
                return
        raise AssertionError(f"process {pid} is no worker")

    def repair(self) -> None:
        """Start what was killed as a whole; wait until all workers are there again."""
        for server in self.servers:
            assert server.process is not None
            if server.process.poll() is not None:
                server.start()
            wait_until(lambda server=server: self._is_whole(server), f"all workers are there:\n{server.log()[-2000:]}")

    def _is_whole(self, server: Server) -> bool:
        with suppress(OSError):
            return len(server.workers()) == self.workers and server.is_ready()
        return False


@contextmanager
def opened(directory: Path, backend: str, **options: Any) -> Iterator[World]:
    """Start a world and end it."""
    world = World(directory, backend, **options)
    try:
        world.start()
        yield world
    finally:
        world.close()


def in_time(true: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is true; False when it does not become so."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        if time.monotonic() > until:
            return False
        pause.wait(0.02)
    return True


def _through(url: str, port: int) -> str:
    """Return the URL with the port of a proxy; PostgreSQL must not encrypt what is to be read."""
    parts = urlsplit(url)
    plain = "&sslmode=disable&gssencmode=disable" if parts.scheme == "postgresql" else ""
    host = parts.netloc.rpartition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{host}:{port}", query=parts.query + plain))
