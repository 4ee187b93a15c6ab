"""Asks the server's own API: over HTTP, or in this process on the local store."""

import getpass
import http.client
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, cast
from urllib.parse import unquote_to_bytes, urlsplit
from wsgiref.types import WSGIApplication

import msgspec

from policy_server.audit.caller import ACTOR_KEY
from policy_server.model.errors import FetchError
from policy_server.model.values import JsonObject
from policy_server.settings import Settings, load_settings

_SECONDS: Final = 60.0  # a policy may have to be compiled


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def document(self) -> JsonObject:
        """Return the body as a JSON object; FetchError when it is something else."""
        try:
            return cast(JsonObject, msgspec.json.decode(self.body, type=dict))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise FetchError(f"The answer (HTTP {self.status}) is not what this server sends.") from error


class Client(Protocol):
    """Sends requests to the API."""

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request; ``target`` is path and query. FetchError when there is no answer."""


class RemoteClient:
    """Talks to a running server."""

    def __init__(self, url: str, *, token: str | None = None, seconds: float = _SECONDS) -> None:
        """Take the address, with any prefix the API has there, and the token to show; FetchError when unusable."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise FetchError(f"{url} is not an address such as http://127.0.0.1:8080")
        self._parts = parts
        self._seconds = seconds
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            # SECURITY: what was given is not repeated.
            raise FetchError("The token (--token or POLICY_TOKEN) has characters that no token has.")
        self._token = token

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request; FetchError when the server cannot be reached in time."""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(cast(str, self._parts.hostname), self._parts.port, timeout=self._seconds)
        where = f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}"
        try:
            connection.request(
                method, self._parts.path.rstrip("/") + target, body=body or None, headers=self._headers(headers or {})
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except TimeoutError as error:
            raise FetchError(f"{where} did not answer within {self._seconds:g} seconds.") from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise FetchError(f"{where} cannot be reached: {reason}.") from error
        finally:
            connection.close()

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        return ({"Authorization": f"Bearer {self._token}"} if self._token else {}) | dict(given)


class LocalClient:
    """Calls the application in this process; no server needs to run."""

    def __init__(self, app: WSGIApplication) -> None:
        """Take the WSGI application."""
        self._app = app

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Call the application as a server would."""
        path, _, query = target.partition("?")
        environ: dict[str, object] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            # PEP 3333: bytes, dressed as Latin-1 text.
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "RAW_URI": target,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "0",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "",
            ACTOR_KEY: actor(),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": True,
        }
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, fields: list[tuple[str, str]], _info: object = None, /) -> Callable[[bytes], object]:
            begun.append((status, fields))
            return body_of.write

        body_of = io.BytesIO()
        for chunk in self._app(environ, start):
            body_of.write(chunk)
        status, fields = begun[0]
        return Answer(int(status[:3]), dict(fields), body_of.getvalue())


def actor() -> str:
    """Return whoever runs the command, for records of changes: ``cli:<user>``."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a user id without a name, as containers have
        return f"cli:{os.getuid()}"


@contextmanager
def open_client(
    settings: Settings | None, server: str | None, token: str | None = None, *, writes: bool = False
) -> Iterator[Client]:
    """Yield a client for a running server, or for the store of the settings when no server is named.

    Who ``writes`` has a store made where there is none.
    """
    if server is not None:
        yield RemoteClient(server, token=token)
        return
    from policy_server.cli.tools import open_assembly

    with open_assembly(settings or load_settings(), writes=writes) as assembly:
        yield LocalClient(assembly.app(local=True))
