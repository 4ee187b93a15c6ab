"""The only route table: which address is answered by whom, and how it is documented."""

from collections.abc import Callable, Mapping
from typing import Final

from policy_server.api import models
from policy_server.api.credentials import Credentials
from policy_server.api.docs import DocsPages
from policy_server.api.errors import ErrorAnswers, Shape
from policy_server.api.evaluation import Asking, Evaluation, Validation
from policy_server.api.git import Git
from policy_server.api.health import HealthPages, Readiness
from policy_server.api.locks import Locks
from policy_server.api.metrics import MetricsPage
from policy_server.api.openapi import OpenApiDocument
from policy_server.api.parts import ApiOptions, Parts
from policy_server.api.pexip import Pexip
from policy_server.api.policies import Policies
from policy_server.api.problems import ProblemPages
from policy_server.api.refresh import Refresh
from policy_server.api.router import DOUBLED, MethodMap, Router
from policy_server.api.table import Param, Route
from policy_server.sources.git_requests import GitRequests

_POLICY: Final = "/policy/{repository}/{group}/{policy}/{version}"
_SERVICE: Final = Shape.SERVICE
_PEXIP: Final = Shape.PEXIP
_ASKING: Final = (
    Param("x-evaluation-id", "Becomes the ETag instead of a new id.", place="header"),
    Param("x-cache-ttl", "Seconds a cache may keep the result.", "integer", "header"),
)
_EXPLAIN: Final = Param("explain", "Answer with OPA's trace, too: full, notes or fails; 403 where that is off.")
_LISTING: Final = (
    Param("policyName", "Part of the name, whatever its case."),
    Param("repository", "Exactly this repository."),
    Param("group", "Exactly this group."),
    Param("version", "Exactly this version."),
    Param("locked", "Only locked, or only unlocked ones.", "boolean"),
    Param("rego", "Show the Rego text.", "boolean"),
    Param("data", "Show the data document.", "boolean"),
    Param("dataConfig", "Show the refresh configuration.", "boolean"),
    Param("limit", "At most this many, 1 to 1000; all without it.", "integer"),
    Param("cursor", "Where the page before ended: its next_cursor."),
)
_REFUSALS: Final = (400, 403, 404, 413, 500, 503)


def _pexip(path: str, suffix: str, summary: str, media: str = "application/json") -> Route:
    answer = models.PexipAnswer if media == "application/json" else None
    return Route(
        "GET", f"/policy/v1/{path}", Pexip, f"pexip_{suffix}", summary, "Pexip", suffix, _PEXIP, answer, media,
        faults=(401, 404),
    )  # fmt: skip


def _evaluate(method: str, tail: str, resource: type, summary: str) -> Route:
    operation = "_".join([resource.__name__.lower(), *tail.split("/")[1:], method.lower()]).replace(".", "_")
    explained = resource is Evaluation
    return Route(
        method, f"{_POLICY}/{tail}", resource, operation, summary, "Policies", "", _SERVICE,
        params=(*_ASKING, _EXPLAIN) if explained else _ASKING, takes_input=True, faults=_REFUSALS,
        other=models.Explanation if explained else None,
    )  # fmt: skip


def _page(path: str, suffix: str, resource: type, summary: str, answer: type, *faults: int) -> Route:
    return Route("GET", path, resource, suffix, summary, "Health", suffix, answer=answer, faults=faults)


ROUTES: Final = (
    _pexip("service/configuration", "service", "What is this alias?"),
    _pexip("participant/properties", "participant", "How does this participant join, if at all?"),
    _pexip("participant/location", "location", "Which location carries the media?"),
    _pexip("participant/avatar/{alias}", "avatar", "The picture of a participant.", "image/jpeg"),
    _pexip("participant/audioavatar/{alias}", "audioavatar", "Always 404; Pexip gave these up.", "image/jpeg"),
    _pexip("registrations", "directory", "Search the phone book."),
    _pexip("registrations/{alias}", "registration", "May this device register?"),
    _evaluate("GET", "evaluation", Evaluation, "Evaluate a policy."),
    _evaluate("POST", "evaluation", Evaluation, "Evaluate a policy."),
    _evaluate("GET", "evaluation/did.json", Evaluation, "Evaluate a policy that makes a DID document."),
    _evaluate("GET", "validation", Validation, "Evaluate a policy and check the result against its output schema."),
    _evaluate("POST", "validation", Validation, "Evaluate a policy and check the result against its output schema."),
    _evaluate("GET", "validation/did.json", Validation, "Evaluate and check a policy that makes a DID document."),
    Route("POST", f"{_POLICY}/lock", Locks, "lock", "Refuse evaluations from now on.", "Policies", "", _SERVICE,
          media="", faults=(403, 404, 500)),
    Route("DELETE", f"{_POLICY}/lock", Locks, "unlock", "Allow evaluations again.", "Policies", "", _SERVICE,
          media="", faults=(403, 404, 500)),
    Route("POST", f"{_POLICY}/refresh", Refresh, "refresh", "Fetch the scheduled data now.", "Policies", "", _SERVICE,
          models.RefreshView, faults=(404, 409, 422, 500, 503)),
    Route("GET", "/v1/policies", Policies, "list", "List policies.", "Policies", "", _SERVICE,
          models.PolicyList, params=_LISTING, faults=(400, 500)),
    Route("GET", "/v1/policies/{repository}/{group}/{policy}/{version}", Policies, "show",
          "Show everything about one policy.", "Policies", "item", _SERVICE, models.PolicyDetail, faults=(404, 503)),
    # Git.
    Route("GET", "/v1/git", Git, "git", "List the Git repositories and how each is doing.", "Git",
          answer=models.GitList, faults=(503,)),
    Route("GET", "/v1/git/{repository}", Git, "git_repository", "How one Git repository is doing.", "Git", "item",
          answer=models.GitView, faults=(404, 503)),
    Route("POST", "/v1/git/{repository}/sync", Git, "git_sync",
          "Synchronise now; 202 when that is not over in time.", "Git", "sync",
          answer=models.GitView, params=(Param("wait", "Seconds to wait for it, 0 to 30; 10 without it.", "integer"),),
          faults=(400, 404, 503)),
    Route("POST", "/v1/git/{repository}/hook", Git, "git_hook",
          "For push hooks of GitHub, GitLab, Gitea, Forgejo and Bitbucket: synchronise soon.", "Git", "hook",
          answer=models.GitView, faults=(403, 404, 413, 503)),
    _page("/livez", "livez", HealthPages, "Is the process alive?", models.Health),
    _page("/readyz", "readyz", HealthPages, "Can it decide? Add ?verbose for every check.", models.Health, 503),
    _page("/liveness", "liveness", HealthPages, "Like /livez, in the policy service's shape.", models.ServiceHealth),
    _page("/readiness", "readiness", HealthPages, "Like /readyz, in the policy service's shape.",
          models.ServiceHealth, 503),
    Route("GET", "/health", HealthPages, "health", "The same as /readyz.", "Health", "readyz",
          answer=models.Health, faults=(503,)),
    Route("GET", "/metrics", MetricsPage, "metrics", "Counts for Prometheus.", "Health", media="text/plain"),
    Route("GET", "/openapi.json", OpenApiDocument, "openapi", "This document.", "Documentation"),
    Route("GET", "/docs", DocsPages, "docs", "Swagger UI.", "Documentation", media="text/html", faults=(503,)),
    Route("GET", "/docs/assets/{name}", DocsPages, "docs_asset", "Files of Swagger UI.", "Documentation", "asset",
          media="application/octet-stream", faults=(404, 503)),
    Route("GET", "/problems", ProblemPages, "problems", "All types of problem.", "Documentation", "all"),
    Route("GET", "/problems/{slug}", ProblemPages, "problem", "What one type of problem means.", "Documentation",
          answer=models.ProblemPage, faults=(404,)),
)  # fmt: skip
"""Every address of this server."""


def served(options: ApiOptions) -> tuple[Route, ...]:
    """Return the lines that are served here; metrics may have a listener of their own."""
    return tuple(route for route in ROUTES if options.serve_metrics or route.resource is not MetricsPage)


def make_resources(parts: Parts) -> Mapping[type, object]:
    """Make each resource once, with what it needs."""
    options, store = parts.options, parts.store
    asking = Asking(parts.evaluator, options, parts.metrics, parts.explainer)
    credentials = Credentials(options.pexip_credentials, realm=options.pexip_realm)
    readiness = Readiness(store, parts.catalog_status, parts.find, options.pexip_policies, parts.subsystems)
    locking = options.lock_on_validation_failure
    made = (
        Pexip(parts.answers, credentials, parts.metrics),
        Evaluation(asking),
        Validation(asking, store, parts.schemas, parts.clock, lock_on_failure=locking),
        Locks(store, parts.clock),
        Refresh(parts.refresher),
        Policies(store),
        Git(parts.git or GitRequests((), store.cache, parts.clock), max_body=options.max_body),
        HealthPages(readiness),
        MetricsPage(parts.metrics),
        OpenApiDocument(served(options)),
        DocsPages(options.assets),
        ProblemPages(),
    )
    return {type(resource): resource for resource in made}


def add_routes(router: Router, parts: Parts) -> None:
    """Give every line of the table to the router."""
    resources = make_resources(parts)
    responders: dict[str, dict[str, Callable[..., None]]] = {}
    lines: dict[str, Route] = {}
    for route in served(parts.options):
        lines[route.path] = route
        responders.setdefault(route.path, {})[route.method] = getattr(resources[route.resource], route.responder)
    for path, methods in responders.items():
        route = lines[path]
        router.add(path, resources[route.resource], MethodMap(methods), pexip=route.shape is Shape.PEXIP)


def error_answers() -> ErrorAnswers:
    """Make who answers errors, in each route's shape."""
    shapes = {route.path: route.shape for route in ROUTES} | {DOUBLED: Shape.PEXIP}
    return ErrorAnswers(shapes, {(route.path, route.method): _table_of(route) for route in ROUTES})


def _table_of(route: Route) -> str:
    return {Evaluation: "evaluate", Validation: "validate"}.get(route.resource, route.operation)
