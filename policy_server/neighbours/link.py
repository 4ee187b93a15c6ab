"""The line to one neighbour: its address, our token, and what may go wrong."""

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from policy_server.model.errors import BuiltinFailed, FetchError, InvalidJson, SettingsError, TargetRefused
from policy_server.model.values import Json
from policy_server.neighbours.patience import within
from policy_server.ports import Bearer
from policy_server.wasm.strict import is_object, read, strict, written

OK: Final = frozenset({200})
CREATED: Final = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a neighbour answered: status and body."""

    status: int
    body: bytes


class _Fetched(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class _Client(Protocol):
    def fetch(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> _Fetched: ...


class Link:
    """Asks one server, whose address the operator set; safe for threads, opens nothing before it is asked.

    ``name`` and ``setting`` are for messages: who is asked, and where the address comes from. An
    empty ``url`` makes every question fail with that. ``timeout`` is in seconds for each question,
    ``max_bytes`` the largest answer, ``bearer`` has our token where the server wants one.

    SECURITY: the host of the address may be reached wherever it leads, because the operator named it.
    Nothing else may: redirects are not followed, and no proxy is used.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        setting: str,
        timeout: float = 30.0,
        max_bytes: int = 4 << 20,
        bearer: Bearer | None = None,
    ) -> None:
        """Keep what is told."""
        self.name = name
        self.url = url.rstrip("/")
        self._setting = setting
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._bearer = bearer
        self._lock = threading.Lock()
        self._client: _Client | None = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        ok: Collection[int] | None = OK,
        token: bool = False,
    ) -> Reply:
        """Ask, for ``seconds`` at most; ``path`` is what follows the address, ``ok`` None takes every status.

        Raises:
            BuiltinFailed: code ``unconfigured`` (no address), ``unreachable`` (no answer in time, or none that is
                complete), or ``status`` (one that is not ``ok``).
        """
        if not self.url:
            raise BuiltinFailed(
                f"this server has no {self.name}; the setting {self._setting} names its address", code="unconfigured"
            )
        seconds = min(seconds, self._timeout)
        until = time.monotonic() + seconds
        sent = dict(headers or {})
        try:
            if token and self._bearer is not None:
                sent["Authorization"] = within(seconds, self._bearer)
            found = self._fetcher().fetch(
                method, f"{self.url}{path}", body=body, headers=sent, deadline=max(until - time.monotonic(), 0.001)
            )
        except TimeoutError as error:
            raise BuiltinFailed(f"{self.name}: no token in time", code="unreachable") from error
        except SettingsError as error:
            raise BuiltinFailed(f"{self._setting} cannot be used: {error.message}", code="unconfigured") from error
        except (FetchError, TargetRefused) as error:
            raise BuiltinFailed(f"{self.name}: {error.message.rstrip('.')}", code="unreachable") from error
        if ok is not None and found.status not in ok:
            raise self.refused(found.status)
        return Reply(found.status, found.body)

    def refused(self, status: int) -> BuiltinFailed:
        """Return the error for an answer with such a status."""
        why = " (redirects are not followed)" if 300 <= status < 400 else ""
        return BuiltinFailed(f"the {self.name} answered {status}{why}", code="status", answered=status)

    def json(self, reply: Reply) -> bytes:
        """Return the JSON text of an answer, numbers as they are spelled; BuiltinFailed when it is none."""
        try:
            return strict(reply.body)
        except InvalidJson as error:
            raise self.strange("with something that is no JSON") from error

    def members(self, reply: Reply) -> Mapping[str, object]:
        """Return the members of an answer that must be an object; BuiltinFailed when it is none."""
        text = self.json(reply)
        if not is_object(text):
            raise self.strange("with something that is no object")
        found = read(text)
        assert isinstance(found, dict)  # noqa: S101 - it begins with a brace
        return found

    def strange(self, how: str) -> BuiltinFailed:
        """Return the error for an answer of an unexpected shape."""
        return BuiltinFailed(f"the {self.name} answered {how}", code="answer")

    def _fetcher(self) -> _Client:
        with self._lock:
            if self._client is None:
                self._client = self._made()
            return self._client

    def _made(self) -> _Client:
        # PERF: the HTTP library takes a twentieth of a second, and many programs ask nobody.
        from policy_server.net.client import GuardedClient  # noqa: PLC0415
        from policy_server.net.guard import NetworkGuard  # noqa: PLC0415
        from policy_server.net.targets import Targets  # noqa: PLC0415

        host = urlsplit(self.url).hostname or ""
        return GuardedClient(
            NetworkGuard((host,), targets=Targets((host,), origin=self._setting)),
            connect_timeout=min(5.0, self._timeout),
            read_timeout=self._timeout,
            deadline=self._timeout,
            max_bytes=self._max_bytes,
            ours=True,
        )


def segment(text: str, what: str) -> str:
    """Write a value as one segment of a path; BuiltinFailed when it is blank, or would lead elsewhere."""
    if not text.strip():
        raise BuiltinFailed(f"{what} is empty", code="argument")
    if text in {".", ".."}:
        raise BuiltinFailed(f"{what} is no name", code="argument")
    return quote(text, safe=":@$&'()*+,;=~", errors="replace")


def header_value(text: str, what: str) -> str:
    """Return a text as a header carries it, in UTF-8; BuiltinFailed when a header cannot."""
    if any(letter < " " or letter == "\x7f" for letter in text) or text != text.strip():
        raise BuiltinFailed(f"{what} has characters that a header cannot carry", code="argument")
    return text.encode(errors="replace").decode("latin-1")


def json_text(value: Json) -> bytes:
    """Write a value of a policy as JSON text; BuiltinFailed when it has none."""
    try:
        return written(value)
    except InvalidJson as error:
        raise BuiltinFailed("a value cannot be written as JSON", code="argument") from error
