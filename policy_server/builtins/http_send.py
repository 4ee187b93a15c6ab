"""``http.send``: OPA's contract, behind this server's guard.

Source of the rules: OPA 1.22, v1/topdown/http.go. Answers are remembered within an
evaluation, so that it sees one truth, and with ``cache`` or ``force_cache`` across
evaluations of this process.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import orjson

from policy_server.builtins.call import Call
from policy_server.builtins.http_answer import answer_text, failure_text
from policy_server.builtins.http_request import (
    INTERNAL,
    NETWORK,
    HttpRequest,
    SendFailed,
    read_fields,
    read_request,
    wrong,
)
from policy_server.builtins.http_tls import Credentials
from policy_server.builtins.opa import OPA_VERSION, OpaFunctions
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, FetchError, TargetRefused
from policy_server.net.caching import KEPT, AnswerCache, Kept, expiry, may_store
from policy_server.net.outgoing import Incoming, Outgoing
from policy_server.version import VERSION

_AGENT = f"policy-server/{VERSION}"
_OPA_AGENT = f"Open-Policy-Agent/{OPA_VERSION} ({_AGENT})"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_GROWTH = 1.6
_JITTER = 0.2


class Sender(Protocol):
    """Sends one request; ``net.sender.GuardedSender``, which is loaded only where it is needed."""

    def send(self, outgoing: Outgoing, *, seconds: float) -> Incoming:
        """Return what came back; TargetRefused, FetchError."""
        ...


class HttpSend:
    """The function behind ``http.send``; safe for threads."""

    def __init__(
        self,
        sender: Sender,
        cache: AnswerCache,
        credentials: Credentials,
        opa: OpaFunctions | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take collaborators; without ``opa`` YAML is not decoded."""
        self._sender = sender
        self._cache = cache
        self._credentials = credentials
        self._opa = opa
        self._sleep = sleep

    def __call__(self, call: Call, operand: bytes) -> bytes:
        """Send the request of one operand; value text in, value text out.

        Raises:
            BuiltinFailed: it failed, and the request did not ask for the failure as a value.
            EvaluationTimeout: the evaluation's time is over.
        """
        fields, raises = read_fields(operand)
        try:
            return self._answer(call, read_request(fields))
        except SendFailed as error:
            if raises:
                raise BuiltinFailed(error.message.partition("error: http.send: ")[2] or error.message) from error
            return failure_text(error.code, error.message)

    def _answer(self, call: Call, request: HttpRequest) -> bytes:
        known = call.answers.get(request.key)
        if isinstance(known, bytes):
            return known
        if known is not None:
            raise SendFailed(*known)
        if call.remaining() <= 0:
            raise EvaluationTimeout
        try:
            answer = self._cached(call, request) if request.cache else self._send(call, request)
        except SendFailed as error:
            call.remember(request.key, (error.code, error.message))
            raise
        text = answer_text(answer, lambda text: self._yaml(call, text), as_json=request.json, as_yaml=request.yaml)
        if request.cache or answer.status in KEPT:
            call.remember(request.key, text)
        return text

    def _cached(self, call: Call, request: HttpRequest) -> Incoming:
        now = call.now_ns / 1e9
        kept = self._cache.get(request.key)
        if kept is not None and now < kept.fresh_until:
            return kept.answer
        answer = None
        if kept is not None and kept.validators:
            answer = self._revalidated(call, request, kept)
        if kept is not None:
            self._cache.drop(request.key)
        if answer is None:
            answer = self._send(call, request)
        self._keep(request, answer, now)
        return answer

    def _revalidated(self, call: Call, request: HttpRequest, kept: Kept) -> Incoming | None:
        """Ask whether a stale answer is still right; None when the server does not say."""
        answer = self._send(call, request, kept.validators)
        if answer.status == 304:
            names = {name for name, _ in answer.headers}
            old = (each for each in kept.answer.headers if each[0] not in names)
            return replace(kept.answer, headers=(*old, *answer.headers))
        return answer if answer.status == 200 else None

    def _keep(self, request: HttpRequest, answer: Incoming, now: float) -> None:
        if not request.storable:
            return
        if request.force_cache:
            if answer.status in KEPT:
                self._cache.put(request.key, Kept(answer, now + request.force_cache))
            return
        if not may_store(answer):
            return
        try:
            kept = Kept(answer, expiry(answer))
        except ValueError:
            return  # as in OPA: an age without a date says nothing
        if kept.fresh_until > now or kept.validators:
            self._cache.put(request.key, kept)

    def _send(self, call: Call, request: HttpRequest, validators: tuple[tuple[str, str], ...] = ()) -> Incoming:
        outgoing = self._outgoing(request, validators)
        attempt = 0
        while True:
            remaining = call.remaining()
            if remaining <= 0:
                raise EvaluationTimeout
            seconds = remaining if request.timeout is None else min(request.timeout, remaining)
            try:
                return self._sender.send(outgoing, seconds=seconds)
            except TargetRefused as error:
                raise wrong(error.message) from error
            except FetchError as error:
                if call.remaining() <= 0:
                    raise EvaluationTimeout(f"http.send: timed out ({error.message})") from error
                if error.final:
                    raise wrong(error.message) from error
                pause = _pause(attempt)
                # Better an error that the policy can act on than a pause that uses its time up.
                if attempt == request.retries or pause >= call.remaining():
                    raise SendFailed(NETWORK, error.message) from error
                self._sleep(pause)
                attempt += 1

    def _outgoing(self, request: HttpRequest, validators: tuple[tuple[str, str], ...]) -> Outgoing:
        # PERF: the first context takes a tenth of a second.
        plain = request.url.strip().lower().startswith("http:") and not request.follow and not request.tls
        try:
            tls = None if plain else self._credentials.context(request)
        except FetchError as error:
            raise wrong(error.message) from error
        headers = request.headers
        if not request.header("User-Agent"):
            headers = (*headers, ("User-Agent", _OPA_AGENT if headers else _AGENT))
        return Outgoing(
            request.method,
            request.url,
            (*headers, *validators),
            request.body,
            host=request.header("Host"),
            server_name=request.tls.get("tls_server_name", ""),
            tls=tls,
            follow=request.follow,
        )

    def _yaml(self, call: Call, text: str) -> bytes | None:
        if self._opa is None:
            raise SendFailed(INTERNAL, "YAML is decoded by OPA's toolkit, which is not here.")
        try:
            return self._opa.ask("yaml.unmarshal", call, (orjson.dumps(text),))
        except BuiltinFailed:
            return None


def _pause(attempt: int) -> float:
    """Return the seconds before the next attempt: at once, then 160 ms growing to a minute, with jitter; as in OPA."""
    if attempt == 0:
        return 0.0
    longest = min(_FIRST_PAUSE * _GROWTH ** min(attempt, 100), _LONGEST_PAUSE)
    return longest * (1 + _JITTER * (random.random() * 2 - 1))
