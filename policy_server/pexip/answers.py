"""Answers Pexip: question, decision, guard, reply; whatever happens there is an answer."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import orjson

from policy_server.model.decision import Decision, Question
from policy_server.model.errors import EvaluationTimeout, OutputInvalid, PolicyServerError
from policy_server.model.policy import PolicyId
from policy_server.model.values import Json, JsonObject
from policy_server.pexip.avatar import render_avatar
from policy_server.pexip.checks import Violation
from policy_server.pexip.guard import NO_FACTS, Facts, check, errors
from policy_server.pexip.inputs import Query, read_request, unknown_parameters
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.pexip.query import parse_query
from policy_server.pexip.replies import NOTHING, Reply, fallback_reply, no_opinion, normalise, picture, success
from policy_server.ports import Clock

log = logging.getLogger(__name__)

_SHORT: Final = 250


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers one kind of request.

    ``entrypoint`` None means the rule ``decision`` of the policy. ``deadline`` is
    in seconds, for everything that happens until the answer.
    """

    enabled: bool
    policy: PolicyId
    entrypoint: str | None = None
    fallback: Fallback = Fallback.NOT_FOUND
    deadline: float = 2.0


class Outcome(StrEnum):
    """How an answer came about.

    ANSWERED: the policy decided. NO_OPINION: the policy left it to Pexip.
    FALLBACK: there was no usable decision. OFF: this kind of request is not enabled.
    """

    ANSWERED = "answered"
    NO_OPINION = "no_opinion"
    FALLBACK = "fallback"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Observation:
    """What is worth remembering about one answer; holds no PIN and no password.

    ``alias`` is what was dialed, or the alias of the path. ``reason`` is the slug
    of why there was a fallback, ``detail`` the same in words. ``duration`` is in
    seconds. ``unknown`` are parameters this kind of request is not known to have.
    """

    kind: RequestKind
    alias: str | None
    policy: PolicyId | None
    decision_id: str
    outcome: Outcome
    status: int
    reason: str | None = None
    detail: str | None = None
    violations: tuple[Violation, ...] = ()
    unknown: tuple[str, ...] = ()
    duration: float = 0.0


def ignore(_observation: Observation) -> None:
    """Remember nothing."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request on its way."""

    kind: RequestKind
    route: Route
    id: str
    document: JsonObject
    unknown: tuple[str, ...]


class Answers:
    """Answers the six kinds of Pexip requests.

    Pexip treats every failure as "use my own configuration", silently. So what
    goes wrong here never becomes an HTTP error: the operator's fallback is sent,
    and ``observe`` hears why.
    """

    def __init__(
        self,
        decide: Callable[[Question], Decision],
        routes: Mapping[RequestKind, Route],
        clock: Clock,
        observe: Callable[[Observation], None] = ignore,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who decides, who answers what, what time it is and who wants to know."""
        self._decide = decide
        self._routes = dict(routes)
        self._clock = clock
        self._observe = observe
        self._timer = timer

    def answer(
        self,
        kind: RequestKind,
        *,
        alias: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        mount: str = "",
    ) -> Reply:
        """Return the reply to one request; never raises, never a 5xx, never a redirect.

        ``alias`` is the decoded path alias of avatars and registrations; a
        registration without one is a directory search. ``query`` is the raw query
        string, ``mount`` the prefix in front of ``/policy/v1``.
        """
        started = self._timer()
        if kind is RequestKind.REGISTRATION and not alias:
            kind, alias = RequestKind.DIRECTORY, None
        route = self._routes.get(kind)
        decision_id = str(uuid.uuid4())
        if route is None or not route.enabled:
            reply, seen = NOTHING, Observation(kind, _shorten(alias), None, decision_id, Outcome.OFF, 404)
        else:
            try:
                asked = self._read(kind, route, decision_id, alias, parse_query(query), mount)
                reply, seen = self._reply(asked, headers or {}, started)
            except Exception as error:  # noqa: BLE001 - a caller is waiting; whatever it is, the fallback is the answer
                reply, seen = self._failed(kind, route, decision_id, alias, error)
        self._tell(replace(seen, duration=self._timer() - started))
        return reply

    def _read(
        self, kind: RequestKind, route: Route, decision_id: str, alias: str | None, query: Query, mount: str
    ) -> _Asked:
        document = read_request(kind, alias=alias, query=query, received_at=self._clock(), mount=mount)
        return _Asked(kind, route, decision_id, document, unknown_parameters(kind, query))

    def _reply(self, asked: _Asked, headers: Mapping[str, str], started: float) -> tuple[Reply, Observation]:
        route = asked.route
        question = Question(
            policy=route.policy,
            input=orjson.dumps(asked.document),
            entrypoint=route.entrypoint or f"{route.policy.entrypoint}/decision",
            headers=headers,
            deadline=max(0.0, route.deadline - (self._timer() - started)),
            id=asked.id,
        )
        decision = self._decide(question)
        reply, seen = self._render(asked, _read_decision(decision.result))
        if self._timer() - started > route.deadline:
            raise EvaluationTimeout
        return reply, seen

    def _render(self, asked: _Asked, decision: JsonObject | None) -> tuple[Reply, Observation]:
        kind = asked.kind
        if decision is None or decision.get("action") == "default":
            return no_opinion(kind, decision_id=asked.id), _seen(asked, Outcome.NO_OPINION, 404)
        body = normalise(kind, decision)
        violations = tuple(check(kind, body, facts=_facts(asked.document)))
        wrong = errors(list(violations))
        if wrong:
            detail = "; ".join(str(violation) for violation in wrong[:5])
            reply = fallback_reply(kind, asked.route.fallback, reason=OutputInvalid.slug, decision_id=asked.id)
            seen = _seen(asked, Outcome.FALLBACK, reply.status)
            return reply, replace(seen, reason=OutputInvalid.slug, detail=detail, violations=violations)
        if kind is not RequestKind.AVATAR:
            reply = success(body, decision_id=asked.id)
        elif (jpeg := _avatar(asked, body)) is not None:
            reply = picture(jpeg)
        else:
            seen = _seen(asked, Outcome.FALLBACK, 404)
            return NOTHING, replace(seen, reason="invalid-image", detail="The avatar is not a JPEG or PNG we can read.")
        return reply, replace(_seen(asked, Outcome.ANSWERED, reply.status), violations=violations)

    def _failed(
        self, kind: RequestKind, route: Route, decision_id: str, alias: str | None, error: Exception
    ) -> tuple[Reply, Observation]:
        reason = error.slug if isinstance(error, PolicyServerError) else PolicyServerError.slug
        if not isinstance(error, PolicyServerError):
            log.error("Answering Pexip failed", exc_info=error, extra={"action": "pexip_failed", "kind": str(kind)})
        reply = fallback_reply(kind, route.fallback, reason=reason, decision_id=decision_id)
        seen = Observation(kind, _shorten(alias), route.policy, decision_id, Outcome.FALLBACK, reply.status)
        return reply, replace(seen, reason=reason, detail=str(error))

    def _tell(self, seen: Observation) -> None:
        try:
            self._observe(seen)
        except Exception:  # Nobody who listens may cost a caller the answer.
            log.exception("An observer of answers failed", extra={"action": "observe_failed"})


def _read_decision(result: bytes | None) -> JsonObject | None:
    """Read a decision; undefined and null are no opinion."""
    if result is None:
        return None
    try:
        value: Json = orjson.loads(result)
    except orjson.JSONDecodeError as error:
        raise OutputInvalid("The decision is not JSON.") from error
    if value is not None and not isinstance(value, dict):
        raise OutputInvalid("The decision is not an object.")
    return value


def _call(document: JsonObject) -> JsonObject:
    call = document.get("call")
    return call if isinstance(call, dict) else {}


def _facts(document: JsonObject) -> Facts:
    call = _call(document)
    limit = _number(call.get("limit"))
    return Facts(
        limit=limit if limit is not None and limit >= 0 else NO_FACTS.limit,
        protocol=_word(call.get("protocol")),
        call_direction=_word(call.get("call_direction")),
    )


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) else None


def _shorten(text: str | None) -> str | None:
    return text if text is None else text[:_SHORT]


def _seen(asked: _Asked, outcome: Outcome, status: int) -> Observation:
    alias = asked.document["alias"] or _call(asked.document).get("local_alias")
    return Observation(
        asked.kind, _shorten(_word(alias)), asked.route.policy, asked.id, outcome, status, unknown=asked.unknown
    )


def _avatar(asked: _Asked, body: JsonObject) -> bytes | None:
    result, call = body.get("result"), _call(asked.document)
    image = result.get("image") if isinstance(result, dict) else None
    if not isinstance(image, str):
        return None
    return render_avatar(image, width=_number(call.get("width")), height=_number(call.get("height")))
