"""Answers Pexip: question, decision, guard, reply; whatever happens there is an answer."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
_MOST: Final = 5


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

    @property
    def call(self) -> JsonObject:
        """The typed parameters."""
        call = self.document["call"]
        return call if isinstance(call, dict) else {}


@dataclass(frozen=True, slots=True)
class _Answered:
    """A reply and how it came about."""

    reply: Reply
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    violations: tuple[Violation, ...] = ()


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
        asked: _Asked | None = None
        if route is None or not route.enabled:
            answered = _Answered(NOTHING, Outcome.OFF)
        else:
            try:
                asked = self._read(kind, route, decision_id, alias, parse_query(query), mount)
                answered = self._reply(asked, headers or {}, started)
            except Exception as error:  # noqa: BLE001 - a caller is waiting; whatever it is, the fallback is the answer
                answered = _failed(kind, route, decision_id, error)
        dialed = alias if asked is None or alias else _word(asked.call.get("local_alias"))
        self._tell(
            Observation(
                kind=kind,
                alias=None if dialed is None else dialed[:_SHORT],
                policy=None if answered.outcome is Outcome.OFF or route is None else route.policy,
                decision_id=decision_id,
                outcome=answered.outcome,
                status=answered.reply.status,
                reason=answered.reason,
                detail=answered.detail,
                violations=answered.violations,
                unknown=() if asked is None else asked.unknown,
                duration=self._timer() - started,
            )
        )
        return answered.reply

    def _read(
        self, kind: RequestKind, route: Route, decision_id: str, alias: str | None, query: Query, mount: str
    ) -> _Asked:
        document = read_request(kind, alias=alias, query=query, received_at=self._clock(), mount=mount)
        return _Asked(kind, route, decision_id, document, unknown_parameters(kind, query))

    def _reply(self, asked: _Asked, headers: Mapping[str, str], started: float) -> _Answered:
        route = asked.route
        question = Question(
            policy=route.policy,
            input=orjson.dumps(asked.document),
            entrypoint=route.entrypoint or f"{route.policy.entrypoint}/decision",
            headers=headers,
            deadline=max(0.0, route.deadline - (self._timer() - started)),
            id=asked.id,
            trusted=True,
        )
        answered = _render(asked, _read_decision(self._decide(question).result))
        if self._timer() - started > route.deadline:
            raise EvaluationTimeout
        return answered

    def _tell(self, seen: Observation) -> None:
        try:
            self._observe(seen)
        except Exception:  # Nobody who listens may cost a caller the answer.
            log.exception("An observer of answers failed", extra={"action": "observe_failed"})


def _render(asked: _Asked, decision: JsonObject | None) -> _Answered:
    kind = asked.kind
    if decision is None or decision.get("action") == "default":
        return _Answered(no_opinion(kind, decision_id=asked.id), Outcome.NO_OPINION)
    body = normalise(kind, decision)
    violations = check(kind, body, facts=_facts(asked.call))
    wrong = errors(violations)
    if wrong:
        reply = fallback_reply(kind, asked.route.fallback, reason=OutputInvalid.slug, decision_id=asked.id)
        detail = "; ".join(str(violation) for violation in wrong[:_MOST])
        return _Answered(reply, Outcome.FALLBACK, OutputInvalid.slug, detail, tuple(violations))
    if kind is not RequestKind.AVATAR:
        return _Answered(success(body, decision_id=asked.id), Outcome.ANSWERED, violations=tuple(violations))
    jpeg = _avatar(asked.call, body)
    if jpeg is None:
        return _Answered(NOTHING, Outcome.FALLBACK, "invalid-image", "The avatar is not a JPEG or PNG we can read.")
    return _Answered(picture(jpeg), Outcome.ANSWERED, violations=tuple(violations))


def _failed(kind: RequestKind, route: Route, decision_id: str, error: Exception) -> _Answered:
    reason = error.slug if isinstance(error, PolicyServerError) else PolicyServerError.slug
    if not isinstance(error, PolicyServerError):
        log.error("Answering Pexip failed", exc_info=error, extra={"action": "pexip_failed", "kind": str(kind)})
    reply = fallback_reply(kind, route.fallback, reason=reason, decision_id=decision_id)
    return _Answered(reply, Outcome.FALLBACK, reason, str(error))


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


def _facts(call: JsonObject) -> Facts:
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


def _avatar(call: JsonObject, body: JsonObject) -> bytes | None:
    result = body.get("result")
    image = result.get("image") if isinstance(result, dict) else None
    if not isinstance(image, str):
        return None
    return render_avatar(image, width=_number(call.get("width")), height=_number(call.get("height")))
