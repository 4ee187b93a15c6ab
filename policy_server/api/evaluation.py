"""Evaluates policies for callers of the policy service, and checks what they answer."""

import falcon

from policy_server.api.document import escaped, first_value, input_text, unwrap
from policy_server.api.metrics import Metrics
from policy_server.api.parts import ApiOptions
from policy_server.api.request import ApiRequest, Headers, integer_header, is_token, read_body, refused
from policy_server.engine.evaluator import Evaluator
from policy_server.model.decision import Decision, Question
from policy_server.model.errors import (
    AlreadyLocked,
    InvalidJson,
    OutputInvalid,
    PolicyServerError,
    PolicyUnusable,
    SchemaNotFound,
)
from policy_server.model.policy import PolicyId
from policy_server.ports import Clock, PolicyStore
from policy_server.publishing.schema import OutputSchemas

JSON = falcon.MEDIA_JSON


class Asking:
    """Turns a request into a question and asks it."""

    def __init__(self, evaluator: Evaluator, options: ApiOptions, metrics: Metrics) -> None:
        """Take who decides."""
        self._evaluator = evaluator
        self._options = options
        self._metrics = metrics

    def ask(self, req: ApiRequest, policy: PolicyId) -> Decision:
        """Ask for the package document; the body is the input."""
        integer_header(req, "x-cache-ttl")
        question = Question(
            policy=policy,
            input=input_text(read_body(req, self._options.max_body)),
            headers=Headers(req.env),
            deadline=self._options.evaluation_deadline,
            id=_evaluation_id(req),
            strict=True,
        )
        try:
            decision = self._decide(question)
        except PolicyServerError as error:
            self._metrics.decision("evaluation", error.slug, "policy", 0.0)
            raise
        self._metrics.decision("evaluation", "ok", "policy", decision.duration_ns / 1e9)
        return decision

    def _decide(self, question: Question) -> Decision:
        try:
            return self._evaluator.decide(question)
        except InvalidJson:
            # COMPAT: the first JSON value of a body counts and what follows it is
            # ignored. Looked for only now, so that a good body costs nothing.
            text = question.input or b""
            first = first_value(text)
            if first == text:
                raise
        return self._evaluator.decide(_with_input(question, first))


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


class Evaluation:
    """Answers the value of a policy's package."""

    def __init__(self, asking: Asking) -> None:
        """Take who asks."""
        self._asking = asking

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Evaluate; the body is the input."""
        decision = self._asking.ask(req, PolicyId(repository, group, policy, version))
        _show(resp, decision, unwrap(decision.result))

    on_post = on_get


class Validation:
    """Answers like an evaluation, if the result fits the policy's output schema."""

    def __init__(
        self, asking: Asking, store: PolicyStore, schemas: OutputSchemas, clock: Clock, *, lock_on_failure: bool
    ) -> None:
        """Take who asks and who checks."""
        self._asking = asking
        self._store = store
        self._schemas = schemas
        self._clock = clock
        self._lock_on_failure = lock_on_failure

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Evaluate and check."""
        named = PolicyId(repository, group, policy, version)
        schema = self._schema_of(named)
        decision = self._asking.ask(req, named)
        document = unwrap(decision.result)
        self._check(named, schema, document)
        _show(resp, decision, document)

    on_post = on_get

    def _schema_of(self, policy: PolicyId) -> str:
        record = self._store.get(policy)
        if record.revision is None:
            raise PolicyUnusable(record.failure.message if record.failure else None)
        schema = record.revision.source.output_schema
        if schema is None or not schema.strip():
            raise SchemaNotFound
        return schema

    def _check(self, policy: PolicyId, schema: str, document: bytes) -> None:
        try:
            self._schemas.validate(schema, document)
        except OutputInvalid:
            if self._lock_on_failure:
                self._lock(policy)
            raise

    def _lock(self, policy: PolicyId) -> None:
        try:
            self._store.lock(policy, self._clock())
        except AlreadyLocked:
            return  # another request was first
