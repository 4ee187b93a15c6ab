"""Asks a Git server for its newest commit and fetches it: https, http, ssh or git, nothing else.

SECURITY: clients are made here, by scheme, and never from an address by dulwich:
``file:``, ``ext:`` and helper programs have no way in. Redirects, and packs that
a server would have fetched elsewhere, are refused.
"""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, BinaryIO, Final
from urllib.parse import urlsplit

import urllib3
from dulwich.client import (
    GitClient,
    HTTPUnauthorized,
    SSHGitClient,
    SSHVendor,
    SubprocessWrapper,
    TCPGitClient,
    Urllib3HttpGitClient,
    default_urllib3_manager,
)
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.protocol import Protocol
from urllib3.exceptions import HTTPError

from policy_server.model.errors import FetchError
from policy_server.sources.git_config import GitRepository

_PORT: Final = 9418
_CONNECT: Final = 10.0
_TOKEN_USER: Final = "x-access-token"  # noqa: S105 - the user name that goes with tokens on most hosts
# A hostile or broken server makes dulwich run into its own assertions.
_WRONG: Final = (GitProtocolError, HTTPError, ValueError, AssertionError, LookupError, TypeError)

Alive = Callable[[], None]
"""Called now and then during long work; raises to end it."""


class Remote:
    """One repository on its server; every call is a connection of its own."""

    def __init__(self, repository: GitRepository, *, max_bytes: int, timeout: float, deadline: float) -> None:
        """Take the repository and the limits.

        ``max_bytes`` is the most that one fetch may receive, ``timeout`` how many seconds
        may pass without any, ``deadline`` how many altogether.
        """
        self._repository = repository
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._deadline = deadline

    def tip(self) -> str:
        """Return the newest commit of the branch, in hex; FetchError."""
        with _Telling(self._repository), self._connected() as (client, path):
            found = client.get_refs(path, ref_prefix=self._prefixes())
            return self._pick(dict(found.refs)).decode()

    def fetch(self, into: BinaryIO, *, largest: int, alive: Alive) -> str:
        """Write the pack of the newest commit, without its history, and return that commit; FetchError.

        Files larger than ``largest`` bytes are left out by servers that can.
        """
        until = time.monotonic() + self._deadline
        received = 0
        wanted: list[bytes] = []

        def choose(refs: Any, depth: int | None = None) -> list[bytes]:  # noqa: ARG001 - what dulwich calls
            wanted[:] = [self._pick(refs)]
            return wanted

        def sink(data: bytes) -> int:
            nonlocal received
            received += len(data)
            if received > self._max_bytes:
                raise FetchError(
                    f"the newest commit of {self._repository.name} is larger than the {self._max_bytes} bytes"
                    " that POLICY_GIT_MAX_BYTES allows"
                )
            if time.monotonic() > until:
                raise FetchError(f"{self._repository.name} was not fetched within {self._deadline:g} s")
            alive()
            return into.write(data)

        with _Telling(self._repository), self._connected() as (client, path):
            client.fetch_pack(
                path,
                choose,  # type: ignore[arg-type] # its references are dulwich's own kinds of bytes
                _Nothing(),
                sink,
                depth=1,
                ref_prefix=self._prefixes(),
                filter_spec=f"blob:limit={largest + 1}".encode(),
            )
        return wanted[0].decode()

    def _prefixes(self) -> Sequence[bytes]:
        return [f"refs/heads/{self._repository.branch}".encode()] if self._repository.branch else [b"HEAD"]

    def _pick(self, refs: dict[Any, Any]) -> bytes:
        branch = self._repository.branch
        found = refs.get(f"refs/heads/{branch}".encode() if branch else b"HEAD")
        if isinstance(found, bytes):
            return found
        if branch:
            raise FetchError(f"{self._repository.name} has no branch {branch}")
        raise FetchError(f"{self._repository.name} has no commit yet, or its server names no head: set its branch")

    def _connected(self) -> "_Connected":
        parts = urlsplit(self._repository.url)
        host, path = parts.hostname or "", parts.path.encode()
        if parts.scheme == "ssh":
            vendor = _Ssh(self._repository, self._deadline)
            # What follows `user@host:` is relative to the home there, and hosts that have none want it as it is.
            path = path.removeprefix(b"/~/")
            return _Connected(_SshClient(host, parts.port, parts.username or "git", vendor), path)
        if parts.scheme == "git":
            return _Connected(_TcpClient(host, parts.port or _PORT, self._timeout), path)
        return _Connected(_HttpClient(self._repository, self._timeout), b"")


class _Connected:
    """Gives a client and the path to ask it for, and closes it afterwards."""

    def __init__(self, client: GitClient, path: bytes) -> None:
        self._client = client
        self._path = path

    def __enter__(self) -> tuple[GitClient, bytes]:
        return self._client, self._path

    def __exit__(self, *_error: object) -> None:
        # dulwich leaves what a server hung up on open, and with it a process of ssh.
        for proto in getattr(self._client, "opened", ()):
            proto.close()
        self._client.close()


class _Telling:
    """Turns everything that goes wrong on the way into one sentence; SECURITY: addresses hold no passwords."""

    def __init__(self, repository: GitRepository) -> None:
        self._where = f"{repository.name} ({repository.url})"

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, FetchError):
            return
        told = self._told(error)
        if told is not None:
            raise FetchError(told) from error

    def _told(self, error: BaseException) -> str | None:
        where = self._where
        if isinstance(error, NotGitRepository):
            return f"{where} is no Git repository, or these credentials may not see it"
        if isinstance(error, HTTPUnauthorized):
            return f"{where} does not accept the credentials"
        if isinstance(error, TimeoutError):
            return f"{where} did not answer in time"
        if isinstance(error, OSError):
            return f"{where} cannot be reached: {error.strerror or error}"
        if isinstance(error, HangupException):
            said = b" ".join(error.stderr_lines or ()).decode("utf-8", "replace").strip()
            return f"{where} closed the connection" + (f": {said[:500]}" if said else "")
        if isinstance(error, _WRONG):
            return f"{where} cannot be read: {str(error)[:500] or type(error).__name__}"
        return None


class _Nothing:
    """Tells the server that we have nothing: each fetch is whole, so nothing old can be in its way."""

    shallow: frozenset[bytes] = frozenset()

    def __next__(self) -> None:
        return None

    def ack(self, _sha: bytes) -> None:
        """Take no notice."""

    def nak(self) -> None:
        """Take no notice."""


class _Straight(urllib3.PoolManager):
    """Connections that go where they were told to."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override] # noqa: ARG002 - as its parent has it
        return super().urlopen(method, url, redirect=False, **{**kw, "retries": False})


class _StraightProxy(urllib3.ProxyManager):
    """The same through the proxy that the environment names."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override] # noqa: ARG002 - as its parent has it
        return super().urlopen(method, url, redirect=False, **{**kw, "retries": False})


class _HttpClient(Urllib3HttpGitClient):
    """Smart HTTP, on one origin."""

    def __init__(self, repository: GitRepository, timeout: float) -> None:
        secret = repository.token.read() or repository.password.read()
        user = repository.user or (_TOKEN_USER if repository.token else None)
        super().__init__(
            repository.url,
            pool_manager=default_urllib3_manager(
                None, pool_manager_cls=_Straight, proxy_manager_cls=_StraightProxy, base_url=repository.url
            ),
            username=user,
            password=secret,
            timeout=timeout,
            thin_packs=False,
        )
        self._allowed = self._origin(repository.url)

    def _http_request(self, url: str, *args: Any, **kw: Any) -> Any:
        if self._origin(url) != self._allowed:
            raise FetchError(f"the Git server sends us to another one ({url[:200]}), where we do not go")
        try:
            response, read = super()._http_request(url, *args, **kw)
        except GitProtocolError as error:
            if " resp 3" in str(error):
                raise FetchError(f"{self._base_url} redirects; set the address it redirects to") from error
            if " resp 403" in str(error):
                raise FetchError(f"{self._base_url} does not allow this user to read it") from error
            raise
        if not (response.content_type or "").startswith("application/x-git-"):
            response.close()
            raise NotGitRepository  # a web page, or a server of files without Git behind it
        return response, read

    @staticmethod
    def _warn_filter_objects() -> None:
        """Say nothing: our own limit holds as well."""


class _TcpClient(TCPGitClient):
    """``git://`` that does not wait for ever."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        super().__init__(host, port, thin_packs=False)
        self._where = (host, port)
        self._timeout = timeout
        self.opened: list[Protocol] = []

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        # dulwich would connect without any limit of time.
        client = socket.create_connection(self._where, timeout=min(_CONNECT, self._timeout))
        client.settimeout(self._timeout)
        reading = client.makefile("rb")
        self.protocol_version = 2 if protocol_version is None else protocol_version

        def close() -> None:
            reading.close()
            client.close()

        def send(data: bytes) -> int:
            client.sendall(data)
            return len(data)

        proto = Protocol(reading.read, send, close)
        self.opened.append(proto)
        host = f"host={self._where[0]}".encode("idna" if not self._where[0].isascii() else "ascii")
        where = path if isinstance(path, bytes) else path.encode()
        proto.send_cmd(b"git-" + cmd, where, host + b"\0\0version=%d\0" % self.protocol_version)
        return proto, lambda: False, None

    @staticmethod
    def _warn_filter_objects() -> None:
        """Say nothing: our own limit holds as well."""


class _SshClient(SSHGitClient):
    def __init__(self, host: str, port: int | None, username: str, vendor: SSHVendor) -> None:
        super().__init__(host, port, username, vendor, thin_packs=False)
        self.opened: list[Protocol] = []

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        made = super()._connect(cmd, path, protocol_version)
        self.opened.append(made[0])
        return made

    @staticmethod
    def _warn_filter_objects() -> None:
        """Say nothing: our own limit holds as well."""


class _Ssh(SSHVendor):
    """The system's ``ssh``, which asks nobody and trusts only hosts it knows."""

    def __init__(self, repository: GitRepository, deadline: float) -> None:
        self._repository = repository
        self._deadline = deadline

    def run_command(
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        *_: object,
        **_also: object,
    ) -> SubprocessWrapper:
        options = [
            "BatchMode=yes",
            f"ConnectTimeout={_CONNECT:g}",
            "ServerAliveInterval=15",
            "StrictHostKeyChecking=yes",
        ]
        options.append("SetEnv=GIT_PROTOCOL=version=2")
        if self._repository.known_hosts is not None:
            options.append(f"UserKnownHostsFile={self._repository.known_hosts}")
        arguments = ["ssh", "-x", "-T"]
        if self._repository.ssh_key is not None:
            arguments += ["-i", str(self._repository.ssh_key)]
            options.append("IdentitiesOnly=yes")
        for option in options:
            arguments += ["-o", option]
        if port:
            arguments += ["-p", str(port)]
        arguments += ["--", f"{username}@{host}", os.fsdecode(command)]
        try:
            process = subprocess.Popen(  # noqa: S603 - a list, behind `--`; no shell of ours
                arguments, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise FetchError("there is no ssh program here; install openssh-client") from error
        return _Limited(process, self._deadline)


class _Limited(SubprocessWrapper):
    """A process that is ended when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        super().__init__(process)
        self._watch = threading.Timer(seconds, self._end)
        self._watch.daemon = True
        self._watch.start()

    def close(self, timeout: int | None = 10) -> None:
        self._watch.cancel()
        super().close(timeout)

    def _end(self) -> None:
        with suppress(OSError):
            self.proc.kill()
