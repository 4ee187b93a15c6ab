"""One connection to each worker of a server, so that the same question can be put to all of them."""

import http.client
import time
from pathlib import Path

from benchmarks.process import Ask, children
from benchmarks.rounds import Unmeasured

_CONNECTIONS = 400


class Probes:
    """Kept connections, one for every worker; which worker holds one is read from ``/proc``."""

    def __init__(self, ask: Ask, master: int) -> None:
        self._ask = ask
        self._master = master
        self._connections: dict[int, http.client.HTTPConnection] = {}
        self.broken = 0

    @property
    def workers(self) -> list[int]:
        """The workers that are connected to."""
        return sorted(self._connections)

    def open(self, workers: int) -> None:
        """Connect until every worker holds a connection.

        Raises:
            Unmeasured: some worker did not take any of a few hundred connections.
        """
        spare = []
        try:
            for _ in range(_CONNECTIONS):
                connection = self._connect()
                owner = _owner(self._ask.port, connection, children(self._master))
                if owner is None or owner in self._connections:
                    spare.append(connection)
                else:
                    self._connections[owner] = connection
                if len(self._connections) == workers:
                    return
        finally:
            for connection in spare:
                connection.close()
        raise Unmeasured(f"{len(self._connections)} of {workers} workers took a connection")

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._ask.port, timeout=10)
        connection.connect()
        self._send(connection)
        return connection

    def _send(self, connection: http.client.HTTPConnection) -> bytes:
        headers = {"Content-Type": "application/json"} if self._ask.body is not None else {}
        connection.request(self._ask.method, self._ask.path, self._ask.body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            self.broken += 1
        return answer

    def until_all(self, expected: bytes, *, began: float, seconds: float) -> dict[int, float]:
        """Ask all workers in turn until each has given the expected answer; return when, in seconds since ``began``.

        Raises:
            Unmeasured: some worker never did, or a connection broke.
        """
        seen: dict[int, float] = {}
        while len(seen) < len(self._connections):
            for worker, connection in self._connections.items():
                if worker in seen:
                    continue
                try:
                    answer = self._send(connection)
                except (OSError, http.client.HTTPException) as error:
                    raise Unmeasured(f"a worker dropped its connection: {error!r}") from error
                if expected in answer:
                    seen[worker] = time.perf_counter() - began
            if time.perf_counter() - began > seconds:
                raise Unmeasured(f"not all workers answered with the new policy in {seconds:.0f} s")
            time.sleep(0.002)
        return seen

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def _owner(port: int, connection: http.client.HTTPConnection, workers: list[int]) -> int | None:
    """Return the worker that holds the other end of a connection."""
    if connection.sock is None:
        return None
    inode = _server_inode(port, connection.sock.getsockname()[1])
    return next((worker for worker in workers if _holds(worker, f"socket:[{inode}]")), None)


def _server_inode(port: int, client: int) -> str:
    """Find the server's end in the kernel's table of TCP connections."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        parts = line.split()
        if parts[1].endswith(f":{port:04X}") and parts[2].endswith(f":{client:04X}"):
            return parts[9]
    return ""


def _holds(process: int, socket: str) -> bool:
    try:
        descriptors = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if str(descriptor.readlink()) == socket:
                return True
        except OSError:
            continue
    return False
