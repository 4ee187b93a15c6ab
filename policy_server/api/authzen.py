"""Answers the OpenID AuthZEN Authorization API 1.0: may this subject do this to that resource?"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import falcon
import msgspec
from msgspec import UNSET, Struct, UnsetType

from policy_server.api.authzen_models import (
    AccessDecision,
    AccessDecisions,
    AccessMetadata,
    AccessOptions,
    Action,
    Entity,
    Semantic,
)
from policy_server.api.drafts import read_members
from policy_server.api.errors import told
from policy_server.api.metrics import Metrics
from policy_server.api.parts import ApiOptions, Find
from policy_server.api.request import ApiRequest, Headers, read_body
from policy_server.auth.gate import require
from policy_server.decisions.taking import spoil
from policy_server.engine.evaluator import Evaluator
from policy_server.model.decision import Question
from policy_server.model.errors import (
    EvaluationTimeout,
    InvalidJson,
    NotFound,
    OutputInvalid,
    PolicyServerError,
)
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role

MOST: Final = 1000
"""How many evaluations one request may ask for."""

BUDGET: Final = 5
"""How many times the deadline of one evaluation a whole request may take."""

_KEYS: Final = ("subject", "action", "resource", "context")
_KINDS: Final[Mapping[str, type]] = {"subject": Entity, "action": Action, "resource": Entity, "context": dict}
_LAST: Final = {Semantic.DENY_ON_FIRST_DENY: False, Semantic.PERMIT_ON_FIRST_PERMIT: True}
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])

Members = Mapping[str, msgspec.Raw]


class AccessApi:
    """Asks the configured policy, with the request as its input."""

    def __init__(self, find: Find, evaluator: Evaluator, options: ApiOptions, metrics: Metrics) -> None:
        """Take who decides; the policy is in the options."""
        self._find = find
        self._evaluator = evaluator
        self._options = options
        self._metrics = metrics

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Describe this decision point."""
        self._policy()
        base = self._options.url
        resp.content_type = falcon.MEDIA_JSON
        resp.data = msgspec.json.encode(
            AccessMetadata(base, f"{base}/access/v1/evaluation", f"{base}/access/v1/evaluations")
        )

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Decide one request."""
        policy = self._policy()
        require(req.principal, Role.EVALUATE, policy.repository)
        _show(resp, self._decide(req, policy, read_members(read_body(req, self._options.max_body)), self._deadline()))

    def on_post_batch(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Decide several; without ``evaluations`` it is one."""
        policy = self._policy()
        require(req.principal, Role.EVALUATE, policy.repository)
        members = read_members(read_body(req, self._options.max_body))
        asked = _evaluations(members)
        if not asked:
            _show(resp, self._decide(req, policy, members, self._deadline()))
            return
        last = _LAST.get(_semantic(members))
        until = time.monotonic() + BUDGET * self._deadline()
        made: list[AccessDecision] = []
        for item in asked:
            made.append(self._decide_item(req, policy, members, item, until))
            if made[-1].decision is last:
                break
        _show(resp, AccessDecisions(made))

    def _policy(self) -> PolicyId:
        if self._options.authzen_policy is None:
            raise NotFound("No policy is configured for AuthZEN; POLICY_AUTHZEN_POLICY names it.")
        return self._options.authzen_policy

    def _deadline(self) -> float:
        return self._options.evaluation_deadline

    def _decide_item(
        self, req: ApiRequest, policy: PolicyId, defaults: Members, item: msgspec.Raw, until: float
    ) -> AccessDecision:
        """Decide one of several; what goes wrong with it is a denial that says so."""
        try:
            left = min(self._deadline(), until - time.monotonic())
            if left <= 0:
                raise EvaluationTimeout("The request took too long as a whole.")
            return self._decide(req, policy, {**_tuple(defaults), **_tuple(read_members(item))}, left)
        except PolicyServerError as error:
            return _denial(*told("access", error))

    def _decide(self, req: ApiRequest, policy: PolicyId, members: Members, seconds: float) -> AccessDecision:
        question = Question(
            policy=policy,
            input=_input(members),
            entrypoint=self._entrypoint(policy),
            headers=Headers(req.env),
            deadline=seconds,
        )
        try:
            decided = self._evaluator.decide(question)
            answer = read_answer(decided.result)
        except PolicyServerError as error:
            if isinstance(error, OutputInvalid):
                spoil(error)
            self._metrics.decision("authzen", error.slug, "policy", 0.0)
            raise
        self._metrics.decision("authzen", "ok", "policy", decided.duration_ns / 1e9)
        return answer

    def _entrypoint(self, policy: PolicyId) -> str:
        """Return the rule ``decision`` where the policy has one, else the package."""
        entrypoints = self._find(policy).revision.manifest.entrypoints
        rule = f"{entrypoints[0]}/decision"
        return rule if rule in entrypoints else entrypoints[0]


class _Answer(Struct):
    """What a policy may answer besides true and false."""

    decision: bool | UnsetType = UNSET
    allow: bool | UnsetType = UNSET
    context: msgspec.Raw | UnsetType = UNSET


def read_answer(result: bytes | None) -> AccessDecision:
    """Read a policy's answer: a boolean, or an object with ``decision`` (or ``allow``) and ``context``.

    Undefined is a denial.

    Raises:
        OutputInvalid: it is something else; no answer is made of it.
    """
    if result is None:
        return AccessDecision(decision=False)
    if result in {b"true", b"false"}:
        return AccessDecision(decision=result == b"true")
    try:
        answer = msgspec.json.decode(result, type=_Answer)
    except msgspec.MsgspecError as error:
        raise OutputInvalid(f"The policy's answer is no decision: {error}.") from error
    decision = answer.allow if answer.decision is UNSET else answer.decision
    context = answer.context
    if context is not UNSET and not bytes(context).startswith(b"{"):
        raise OutputInvalid("The policy's answer has a context that is no object.")
    return AccessDecision(decision=decision is True, context=context)


def _input(members: Members) -> bytes:
    """Return the input document: the four parts as they were sent; InvalidJson when one is missing or wrong."""
    sent = _tuple(members)
    for name in _KEYS[:3]:
        if name not in sent:
            raise InvalidJson(f"{name} is missing")
    for name, raw in sent.items():
        try:
            msgspec.json.decode(raw, type=_KINDS[name])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidJson(f"{name}: {error}") from error
    return msgspec.json.encode(sent)


def _tuple(members: Members) -> dict[str, msgspec.Raw]:
    return {name: members[name] for name in _KEYS if name in members}


def _evaluations(members: Members) -> Sequence[msgspec.Raw]:
    if "evaluations" not in members:
        return ()
    try:
        asked = _list.decode(members["evaluations"])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidJson(f"evaluations: {error}") from error
    if len(asked) > MOST:
        raise InvalidJson(f"evaluations: there are {len(asked)}, and at most {MOST} are taken")
    return asked


def _semantic(members: Members) -> Semantic:
    """Return how the evaluations are run; other options are ignored."""
    try:
        return msgspec.json.decode(members.get("options", msgspec.Raw(b"{}")), type=AccessOptions).evaluations_semantic
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"options: {error}") from error


def _denial(status: int, message: str) -> AccessDecision:
    context = msgspec.json.encode({"error": {"status": status, "message": message}})
    return AccessDecision(decision=False, context=msgspec.Raw(context))


def _show(resp: falcon.Response, document: Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document)
