"""The one place where errors become HTTP: which shape, which status, which words."""

import logging
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

import falcon
import msgspec

from policy_server.api.models import Detail, Fault, ProblemDocument, ServiceError
from policy_server.api.problems import PREFIX, of_status, title_of
from policy_server.api.request import ApiRequest
from policy_server.model.errors import (
    AlreadyExists,
    AlreadyLocked,
    Ambiguous,
    BrokenBundle,
    BundleUnverified,
    Busy,
    EntrypointNotFound,
    EvaluationError,
    ExportConfigInvalid,
    Forbidden,
    InputError,
    InputTooLarge,
    InvalidBundle,
    InvalidSource,
    KeysUnavailable,
    ManagedElsewhere,
    NotABundle,
    NotAuthenticated,
    NotExportable,
    NotFound,
    NotLocked,
    OutputInvalid,
    PackageMissing,
    PolicyLocked,
    PolicyNotFound,
    PolicyServerError,
    PolicyUnusable,
    PreconditionFailed,
    Problem,
    PublishError,
    RefreshRunning,
    Refused,
    SchemaNotFound,
    SchemaUnusable,
    SigningFailed,
    StoreUnavailable,
    TargetRefused,
    ToolkitError,
)

log = logging.getLogger(__name__)

_LOCATED: Final = re.compile(r"(?P<file>[^:\s]+):(?P<line>\d{1,9})(?::(?P<column>\d{1,9}))?: (?P<text>.*)")
PROBLEM_JSON: Final = "application/problem+json"


class Shape(Enum):
    """How a route reports errors: like Pexip, like the policy service, as RFC 9457 problems, or as a plain message."""

    PEXIP = "pexip"
    SERVICE = "service"
    PROBLEM = "problem"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, kind and message of one error; no message means the error's own."""

    status: int
    kind: int
    message: str | None = None


Table = Mapping[type[PolicyServerError], Answer]
"""What a route answers for an error; the nearest class in the error's family counts."""

_COMMON: Final[Table] = MappingProxyType(
    {
        InputTooLarge: Answer(413, 1),
        InputError: Answer(400, 1),
        NotFound: Answer(404, 5),
        PolicyNotFound: Answer(404, 5, "policy not found"),
        NotAuthenticated: Answer(401, 2),
        Forbidden: Answer(403, 3),
        KeysUnavailable: Answer(503, 8),
        AlreadyLocked: Answer(403, 3, "policy is already locked"),
        NotLocked: Answer(403, 3, "policy is unlocked"),
        RefreshRunning: Answer(409, 4),
        AlreadyExists: Answer(409, 4),
        ManagedElsewhere: Answer(409, 4),
        Ambiguous: Answer(409, 4),
        PreconditionFailed: Answer(412, 4),
        Refused: Answer(403, 3),
        TargetRefused: Answer(403, 3),
        PublishError: Answer(422, 1),
        ToolkitError: Answer(503, 8),
        StoreUnavailable: Answer(503, 8),
        Busy: Answer(503, 8),
        PolicyServerError: Answer(500, 0),
        NotABundle: Answer(400, 1, ""),
        InvalidBundle: Answer(400, 1, "invalid bundle"),
        BundleUnverified: Answer(403, 3, "failed to verify bundle"),
        BrokenBundle: Answer(500, 0, "cannot make policy from bundle"),
        NotExportable: Answer(403, 3, ""),
        ExportConfigInvalid: Answer(500, 7),
    }
)
_KINDS: Final = MappingProxyType({400: 1, 401: 2, 403: 3, 404: 5, 408: 6, 409: 4, 500: 7, 503: 8})
"""The kind of an error that another service answered; any other status becomes 500."""
_EVALUATE: Final[Table] = MappingProxyType(
    {
        **_COMMON,
        PolicyNotFound: Answer(404, 5, "error evaluating policy"),
        PolicyLocked: Answer(403, 3, "error evaluating policy"),
        EntrypointNotFound: Answer(500, 0, "policy evaluation results are empty"),
        PolicyUnusable: Answer(500, 0, "error evaluating policy"),
        # COMPAT: the policy service looks for the package at the request, and finds nothing.
        PackageMissing: Answer(500, 0, "policy evaluation results are empty"),
        EvaluationError: Answer(500, 0, "error evaluating rego query"),
        StoreUnavailable: Answer(500, 0, "error evaluating policy"),
        PolicyServerError: Answer(500, 0, "error evaluating policy"),
    }
)
_ACCESS: Final[Table] = MappingProxyType(
    {
        **_COMMON,
        # The policy is ours to configure: that it is missing is no fault of the caller.
        PolicyNotFound: Answer(500, 0),
        EntrypointNotFound: Answer(500, 0),
    }
)
TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "evaluate": _EVALUATE,
        "validate": MappingProxyType(
            {
                **_EVALUATE,
                PolicyNotFound: Answer(404, 5, "error retrieving policy"),
                SchemaNotFound: Answer(400, 1, "validation schema for policy output is not found"),
                SchemaUnusable: Answer(500, 0, "error compiling output validation schema"),
                InvalidSource: Answer(500, 0, "error compiling output validation schema"),
                OutputInvalid: Answer(500, 0, "policy output schema validation failed"),
            }
        ),
        "lock": MappingProxyType({**_COMMON, StoreUnavailable: Answer(500, 0, "error locking policy")}),
        "unlock": MappingProxyType({**_COMMON, StoreUnavailable: Answer(500, 0, "error unlocking policy")}),
        "subscribe": MappingProxyType({**_COMMON, AlreadyExists: Answer(409, 4, "subscriber already exist")}),
        "access": _ACCESS,
        "list": MappingProxyType({**_COMMON, StoreUnavailable: Answer(500, 0, "error retrieving policies")}),
        # The common words are about a bundle that came in.
        "export": MappingProxyType({**_COMMON, BrokenBundle: Answer(500, 0)}),
        "import": MappingProxyType(
            {**_COMMON, StoreUnavailable: Answer(500, 0, "error saving imported policy bundle")}
        ),
        "remove_auto_import": MappingProxyType(
            {**_COMMON, NotFound: Answer(404, 5, "cannot get auto import configuration")}
        ),
    }
)
"""By operation; an operation that is not here uses the common answers."""


Noted = Callable[[ApiRequest, falcon.Response, PolicyServerError], None]
"""Hears of errors of ours before they are answered; may set headers."""


class ErrorAnswers:
    """Writes errors in the shape of the route they happened on."""

    def __init__(
        self, shapes: Mapping[str, Shape], operations: Mapping[tuple[str, str], str], noted: Noted | None = None
    ) -> None:
        """Take the shape of each path template, the operation of each method on one, and who hears of errors."""
        self._shapes = shapes
        self._operations = operations
        self._noted = noted

    def attach(self, app: falcon.App[ApiRequest, falcon.Response]) -> None:
        """Make an application answer errors this way."""
        app.add_error_handler(Exception, self.on_surprise)
        app.add_error_handler(PolicyServerError, self.on_error)
        app.add_error_handler(falcon.HTTPError, self.on_http_error)

    def on_error(self, req: ApiRequest, resp: falcon.Response, error: PolicyServerError, _params: object) -> None:
        """Answer an error of ours."""
        operation = self._operations.get((req.uri_template or "", req.method), "")
        answer = _answer(TABLES.get(operation, _COMMON), error)
        if answer.status >= 500:
            log.warning(
                "%s failed: %s", operation or "request", error, extra={"action": "failed", "request_id": req.request_id}
            )
        if self._noted is not None:
            self._noted(req, resp, error)
        self._write(req, resp, error, answer)

    def on_surprise(self, req: ApiRequest, resp: falcon.Response, error: Exception, _params: object) -> None:
        """Answer what nobody expected, without telling the caller what it was."""
        log.error("unexpected error", exc_info=error, extra={"action": "surprise", "request_id": req.request_id})
        surprise = PolicyServerError()
        self._write(req, resp, surprise, Answer(500, 7, surprise.message))

    def on_http_error(self, req: ApiRequest, resp: falcon.Response, error: falcon.HTTPError, _params: object) -> None:
        """Answer what the framework found: unknown address, method that is not allowed, broken header."""
        status, shape = error.status_code, self._shape(req)
        resp.status = status
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)
        if shape is Shape.PEXIP or (shape is Shape.SERVICE and status == 405):
            _empty(resp)
        elif shape is Shape.SERVICE and status == 404 and not wants_problem(req):
            _json(resp, Fault("fault", secrets.token_urlsafe(6), "404 page not found"))
        elif shape is Shape.SERVICE and not wants_problem(req):
            _json(resp, ServiceError(secrets.token_urlsafe(6), 1, error.description or error.title or ""))
        elif shape is Shape.TEXT and not wants_problem(req):
            _text(resp, error.description or error.title or "")
        else:
            slug, title = of_status(status)
            _problem(req, resp, slug, title, error.description or title)

    def _shape(self, req: ApiRequest) -> Shape:
        known = self._shapes.get(req.uri_template or "")
        if known is not None:
            return known
        if (req.path + "/").startswith(("/policy/", "/v1/")):
            return Shape.SERVICE
        return Shape.PEXIP if "/policy/v1/" in req.path else Shape.PROBLEM

    def _write(self, req: ApiRequest, resp: falcon.Response, error: PolicyServerError, answer: Answer) -> None:
        shape = self._shape(req)
        resp.status = answer.status
        if shape is Shape.PEXIP:
            # Never a 5xx for Pexip: 404 lets it decide by its own configuration.
            resp.status = 404
            _empty(resp)
        elif shape is Shape.SERVICE and not wants_problem(req):
            message = error.message if answer.message is None else answer.message
            # COMPAT: id, kind and message are the policy service's; what does not fit is told besides.
            failed = [detail_of(each) for each in error.problems] if isinstance(error, OutputInvalid) else []
            _json(resp, ServiceError(_id_for(answer), answer.kind, message, failed))
        elif shape is Shape.TEXT and not wants_problem(req):
            _text(resp, error.message if answer.message is None else answer.message)
        else:
            problems = error.problems or located(error.message)
            _problem(req, resp, error.slug, title_of(type(error)), error.message, problems)


def told(operation: str, error: PolicyServerError) -> tuple[int, str]:
    """Return the status and the words that an operation answers an error with, for answers that hold several."""
    answer = _answer(TABLES[operation], error)
    return answer.status, error.message if answer.message is None else answer.message


def located(message: str) -> tuple[Problem, ...]:
    """Find the lines of a message that name a place, ``file:line:column: text``.

    A source's failure is kept as such text; editors and this API read it back.
    """
    found = (_LOCATED.fullmatch(line) for line in message.splitlines())
    return tuple(
        Problem(line["text"], line["file"], int(line["line"]), int(line["column"] or 0)) for line in found if line
    )


def wants_problem(req: falcon.Request) -> bool:
    """Tell whether the client asks for a problem document by name."""
    return PROBLEM_JSON in (req.get_header("accept") or "").lower()


def _answer(table: Table, error: PolicyServerError) -> Answer:
    if isinstance(error, SigningFailed):
        return Answer(error.status, _KINDS[error.status]) if error.status in _KINDS else Answer(500, 0)
    return _nearest(table, type(error))


def _nearest(table: Table, error: type[PolicyServerError]) -> Answer:
    return next(answer for answer in map(table.get, error.__mro__) if answer is not None)


def _id_for(answer: Answer) -> str:
    """Make an error id: 8 characters for a request that was not understood, 16 otherwise."""
    if answer.kind == 1:
        return secrets.token_urlsafe(6)
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(16))


def _problem(
    req: ApiRequest, resp: falcon.Response, slug: str, title: str, detail: str, problems: tuple[Problem, ...] = ()
) -> None:
    errors = [detail_of(each) for each in problems]
    status = resp.status_code
    document = ProblemDocument(PREFIX + slug, title, status, detail, req.path, req.request_id, errors)
    resp.content_type = PROBLEM_JSON
    resp.data = msgspec.json.encode(document)


def detail_of(problem: Problem) -> Detail:
    """Show one problem; what begins with a slash is a place in the body."""
    named = problem.parameter
    is_pointer = named.startswith("/")
    return Detail(
        problem.message,
        problem.code,
        "" if is_pointer else named,
        named if is_pointer else "",
        problem.file,
        problem.line,
        problem.column,
    )


def _json(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"


def _text(resp: falcon.Response, message: str) -> None:
    resp.content_type = falcon.MEDIA_TEXT
    resp.data = message.encode(errors="replace")


def _empty(resp: falcon.Response) -> None:
    resp.data = b""
