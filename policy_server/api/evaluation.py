"""Evaluates policies for callers of the policy service, and checks what they answer."""

from collections.abc import Callable
from typing import TypeVar

import falcon
import msgspec

from policy_server.api.document import escaped, first_value, input_text, unwrap
from policy_server.api.metrics import Metrics
from policy_server.api.models import Explanation
from policy_server.api.parts import ApiOptions
from policy_server.api.query import text
from policy_server.api.request import ApiRequest, Headers, integer_header, is_token, read_body, refused
from policy_server.auth.gate import require
from policy_server.decisions.taking import spoil
from policy_server.engine.catalog import usable
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.explaining import Explainer
from policy_server.engine.results import Results
from policy_server.model.decision import Decision, Explained, Level, Question
from policy_server.model.errors import (
    AlreadyLocked,
    InvalidJson,
    OutputInvalid,
    PolicyServerError,
    Refused,
    SchemaNotFound,
)
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role
from policy_server.ports import PolicyStore
from policy_server.publishing.locks import PolicyLocks
from policy_server.publishing.schema import OutputSchemas

T = TypeVar("T")

JSON = falcon.MEDIA_JSON
LOCKER = "validation"
"""Who locks a policy whose output does not fit."""


class Asking:
    """Turns a request into a question and asks it."""

    def __init__(
        self,
        evaluator: Evaluator,
        options: ApiOptions,
        metrics: Metrics,
        results: Results,
        explainer: Explainer | None = None,
    ) -> None:
        """Take who decides, who keeps results, and who explains when that is allowed."""
        self._evaluator = evaluator
        self._explainer = explainer
        self._options = options
        self._metrics = metrics
        self._results = results

    def ask(self, req: ApiRequest, policy: PolicyId) -> tuple[Decision, bytes]:
        """Ask for the package document; the body is the input. Returns the decision, and what to answer."""
        ttl = integer_header(req, "x-cache-ttl")
        question = self._question(req, policy)
        decision = self._counted("evaluation", lambda: _answered(question, self._evaluator.decide), lambda found: found)
        document = unwrap(decision.result)
        self._results.offer(decision.id, document, ttl)
        return decision, document

    def explain(self, req: ApiRequest, policy: PolicyId, level: Level) -> Explained:
        """Ask the same, and how OPA's interpreter comes to the answer; Refused where that is off."""
        integer_header(req, "x-cache-ttl")
        explainer = self._explainer
        if explainer is None:
            raise Refused("Explanations are off on this server; the setting POLICY_EXPLAIN turns them on.")
        question = self._question(req, policy)
        return self._counted(
            "explanation",
            lambda: _answered(question, lambda each: explainer.explain(each, level)),
            lambda found: found.decision,
        )

    def _question(self, req: ApiRequest, policy: PolicyId) -> Question:
        return Question(
            policy=policy,
            input=input_text(read_body(req, self._options.max_body)),
            headers=Headers(req.env),
            deadline=self._options.evaluation_deadline,
            id=_evaluation_id(req),
            strict=True,
        )

    def _counted(self, endpoint: str, work: Callable[[], T], decision_of: Callable[[T], Decision]) -> T:
        try:
            found = work()
        except PolicyServerError as error:
            self._metrics.decision(endpoint, error.slug, "policy", 0.0)
            raise
        self._metrics.decision(endpoint, "ok", "policy", decision_of(found).duration_ns / 1e9)
        return found


def _answered(question: Question, answer: Callable[[Question], T]) -> T:
    try:
        return answer(question)
    except InvalidJson:
        # COMPAT: the first JSON value of a body counts and what follows it is
        # ignored. Looked for only now, so that a good body costs nothing.
        given = question.input or b""
        first = first_value(given)
        if first == given:
            raise
    return answer(_with_input(question, first))


def _with_input(question: Question, text: bytes) -> Question:
    return Question(question.policy, text, None, question.headers, question.deadline, question.id, question.strict)


def _evaluation_id(req: ApiRequest) -> str:
    offered: str = req.env.get("HTTP_X_EVALUATION_ID") or ""
    if offered and not is_token(offered):
        raise refused("x-evaluation-id", "the evaluation id must be up to 128 visible ASCII characters without spaces")
    return offered


def _show(resp: falcon.Response, decision: Decision, document: bytes) -> None:
    resp.content_type = JSON
    # COMPAT: the bare id; resp.etag would put it in quotes.
    resp.set_header("etag", decision.id)
    resp.data = escaped(document)


def _level(req: ApiRequest) -> Level | None:
    # PERF: nearly no request has a query.
    name = text(req, "explain") if req.query_string else None
    if name is None:
        return None
    if name not in tuple(Level):
        raise refused("explain", f'invalid value "{name}" for "explain", must be full, notes or fails')
    return Level(name)


def _document(explained: Explained) -> bytes:
    decision = explained.decision
    result = msgspec.Raw(unwrap(decision.result))
    return msgspec.json.encode(Explanation(result, list(explained.lines), list(decision.printed)))


class Evaluation:
    """Answers the value of a policy's package."""

    def __init__(self, asking: Asking) -> None:
        """Take who asks."""
        self._asking = asking

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Evaluate; the body is the input, ``explain`` asks for the trace, too."""
        named = PolicyId(repository, group, policy, version)
        level = _level(req)
        if level is None:
            decision, document = self._asking.ask(req, named)
            _show(resp, decision, document)
        else:
            # A trace shows source and data.
            require(req.principal, Role.READ, repository)
            explained = self._asking.explain(req, named, level)
            _show(resp, explained.decision, _document(explained))

    on_post = on_get


class Validation:
    """Answers like an evaluation, if the result fits the policy's output schema."""

    def __init__(
        self, asking: Asking, store: PolicyStore, schemas: OutputSchemas, locks: PolicyLocks, *, lock_on_failure: bool
    ) -> None:
        """Take who asks and who checks."""
        self._asking = asking
        self._store = store
        self._schemas = schemas
        self._locks = locks
        self._lock_on_failure = lock_on_failure

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Evaluate and check."""
        named = PolicyId(repository, group, policy, version)
        schema = self._schema_of(named)
        decision, document = self._asking.ask(req, named)
        self._check(named, schema, document)
        _show(resp, decision, document)

    on_post = on_get

    def _schema_of(self, policy: PolicyId) -> str:
        schema = usable(self._store.get(policy)).source.output_schema
        if schema is None or not schema.strip():
            raise SchemaNotFound
        return schema

    def _check(self, policy: PolicyId, schema: str, document: bytes) -> None:
        try:
            self._schemas.validate(schema, document)
        except OutputInvalid as error:
            spoil(error)
            if self._lock_on_failure:
                self._lock(policy)
            raise

    def _lock(self, policy: PolicyId) -> None:
        try:
            self._locks.lock(policy, actor=LOCKER)
        except AlreadyLocked:
            return  # another request was first
