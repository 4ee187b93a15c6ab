"""The only route table: which address is answered by whom, and how it is documented."""

from collections.abc import Callable, Mapping
from typing import Final

from policy_server.api import event_views, models, token_views
from policy_server.api.admin_routes import ADMIN
from policy_server.api.audit import AuditTrail
from policy_server.api.authzen import AccessApi
from policy_server.api.bundles import AutoImports, Exports, Imports
from policy_server.api.credentials import Credentials
from policy_server.api.decision_routes import DECISIONS
from policy_server.api.decisions import Decisions
from policy_server.api.docs import DocsPages
from policy_server.api.door_routes import DOORS
from policy_server.api.editing import Editing
from policy_server.api.errors import ErrorAnswers, Noted, Shape
from policy_server.api.evaluation import Asking, Evaluation, Validation
from policy_server.api.events import Deliveries, Events
from policy_server.api.git import Git
from policy_server.api.health import HealthPages, Readiness
from policy_server.api.history import History
from policy_server.api.locks import Locks
from policy_server.api.metrics import MetricsPage
from policy_server.api.opa import DataApi
from policy_server.api.openapi import OpenApiDocument
from policy_server.api.parts import ApiOptions, Parts
from policy_server.api.pexip import Pexip
from policy_server.api.policies import Policies
from policy_server.api.problems import ProblemPages
from policy_server.api.refresh import Refresh
from policy_server.api.router import DOUBLED, MethodMap, Router
from policy_server.api.subscribers import Subscribers
from policy_server.api.table import Param, Route
from policy_server.api.tokens import TokenPages
from policy_server.auth.tokens import Tokens
from policy_server.publishing.locks import PolicyLocks
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
_EXPORT: Final = (
    Param("format", "`signed` (as without it), or `opa` for a .tar.gz that OPA loads."),
    Param("wasm", "Put the compiled module into OPA's bundle, too.", "boolean"),
    Param("signed", "Sign OPA's bundle, as OPA verifies it.", "boolean"),
    Param("scope", "The scope that OPA's bundle is signed for."),
)
_IMPORT: Final = (
    Param("policy", "Which policy an OPA bundle is, if its manifest does not say: repository/group/name/version."),
)
_BUNDLE: Final = ("application/zip", "application/gzip", "multipart/form-data")
_JSON: Final = ("application/json",)
_FEED: Final = (
    Param("cursor", "The next_cursor of the answer before; without it from the oldest event that is kept."),
    Param("limit", "At most this many, 1 to 1000; 100 without it.", "integer"),
)
_DELIVERING: Final = (
    Param("state", "Only pending, delivered or dead ones."),
    Param("target", "Only to this target."),
    Param("limit", "At most this many, 1 to 200; 100 without it.", "integer"),
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


def _access() -> tuple[Route, ...]:
    """API tokens."""
    tag = "Access"
    return (
        Route("GET", "/v1/tokens", TokenPages, "tokens", "List API tokens, without the tokens themselves.", tag,
              answer=token_views.TokenList, faults=(503,)),
        Route("POST", "/v1/tokens", TokenPages, "create_token", "Make an API token; it is shown this once.", tag,
              answer=token_views.NewToken, faults=(400, 413, 503), body=token_views.TokenRequest),
        Route("DELETE", "/v1/tokens/{token}", TokenPages, "revoke_token", "Make an API token useless.", tag, "item",
              answer=token_views.TokenView, faults=(404, 503)),
    )  # fmt: skip


def _git() -> tuple[Route, ...]:
    """Git repositories and their push hooks."""
    wait = Param("wait", "Seconds to wait for it, 0 to 30; 10 without it.", "integer")
    return (
        Route("GET", "/v1/git", Git, "git", "List the Git repositories and how each is doing.", "Git",
              answer=models.GitList, faults=(503,)),
        Route("GET", "/v1/git/{repository}", Git, "git_repository", "How one Git repository is doing.", "Git", "item",
              answer=models.GitView, faults=(404, 503)),
        Route("POST", "/v1/git/{repository}/sync", Git, "git_sync",
              "Synchronise now; 202 when that is not over in time.", "Git", "sync", answer=models.GitView,
              params=(wait,), faults=(400, 404, 503)),
        Route("POST", "/v1/git/{repository}/hook", Git, "git_hook",
              "For push hooks of GitHub, GitLab, Gitea, Forgejo and Bitbucket: synchronise soon.", "Git", "hook",
              answer=models.GitView, faults=(403, 404, 413, 503)),
    )  # fmt: skip


def _events() -> tuple[Route, ...]:
    """Subscribers, the feed of changes, and deliveries."""
    notify, one, tag = f"{_POLICY}/notifychange", f"{_POLICY}/notifychange/{{subscriber}}", "Events"
    return (
        Route("POST", notify, Subscribers, "subscribe", "Be called when the policy changes.", tag, "", _SERVICE,
              event_views.NewSubscriberView, faults=(400, 403, 404, 409, 413, 503),
              body=event_views.SubscriptionRequest),
        Route("GET", notify, Subscribers, "subscribers", "List who is called when the policy changes.", tag, "",
              _SERVICE, event_views.SubscriberList, faults=(503,)),
        Route("GET", one, Subscribers, "subscriber", "Show one subscriber.", tag, "item", _SERVICE,
              event_views.SubscriberView, faults=(404, 503)),
        Route("DELETE", one, Subscribers, "unsubscribe", "Call this one no more.", tag, "item", _SERVICE,
              media="", faults=(404, 503)),
        Route("POST", f"{one}/test", Subscribers, "test_subscriber", "Call this one now, with a test message.", tag,
              "test", _SERVICE, event_views.TrialView, faults=(404, 503)),
        Route("GET", "/v1/events", Events, "events", "What changed, by whom, in order.", tag,
              answer=event_views.EventPage, params=_FEED, faults=(400, 503)),
        Route("GET", "/v1/deliveries", Deliveries, "deliveries", "Who was told, and who was not.", tag,
              answer=event_views.DeliveryList, params=_DELIVERING, faults=(400, 503)),
        Route("POST", "/v1/deliveries/{delivery}/redeliver", Deliveries, "redeliver",
              "Tell somebody again, or at last.", tag, "redeliver", answer=event_views.DeliveryView,
              faults=(404, 503)),
    )  # fmt: skip


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
    # Bundles.
    Route("GET", f"{_POLICY}/key", Exports, "key", "The public key that verifies bundles of the policy.", "Bundles",
          "key", _SERVICE, faults=(403, 404, 500, 503)),
    Route("GET", f"{_POLICY}/export", Exports, "export", "The policy as a signed bundle, or as OPA's.", "Bundles", "",
          _SERVICE, None, "application/zip", _EXPORT, faults=(400, 403, 404, 500, 503)),
    Route("POST", "/v1/policy/import", Imports, "import", "Import a signed bundle.", "Bundles", "", _SERVICE,
          models.ImportedPolicy, params=_IMPORT, accepts=_BUNDLE, faults=(400, 403, 409, 413, 422, 500, 503)),
    Route("GET", "/v1/policy/import/config", AutoImports, "auto_imports", "Show what is imported on a schedule.",
          "Bundles", "", _SERVICE, models.AutoImportList, faults=(503,)),
    Route("POST", "/v1/policy/import/config", AutoImports, "save_auto_import", "Import a bundle on a schedule.",
          "Bundles", "", _SERVICE, models.AutoImportConfig, accepts=_JSON, faults=(400, 413, 503)),
    Route("DELETE", "/v1/policy/import/config", AutoImports, "remove_auto_import", "No longer import a bundle.",
          "Bundles", "", _SERVICE, models.AutoImportConfig, accepts=_JSON, faults=(400, 404, 413, 503)),
    Route("GET", "/v1/policies", Policies, "list", "List policies.", "Policies", "", _SERVICE,
          models.PolicyList, params=_LISTING, faults=(400, 500)),
    *ADMIN,
    *DOORS,
    *DECISIONS,
    *_access(),
    *_events(),
    *_git(),
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
    # COMPAT: where the policy service has them.
    Route("GET", "/swagger-ui/openapi.json", OpenApiDocument, "swagger_openapi", "The same as /openapi.json.",
          "Documentation"),
    Route("GET", "/swagger-ui/", DocsPages, "swagger", "The same as /docs.", "Documentation", "swagger",
          media="text/html", faults=(503,)),
    Route("GET", "/swagger-ui/{name}", DocsPages, "swagger_asset", "The same as /docs/assets.", "Documentation",
          "asset", media="application/octet-stream", faults=(404, 503)),
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
    locks = PolicyLocks(store, parts.clock)
    limit = options.max_body
    asking = Asking(parts.evaluator, options, parts.metrics, parts.results, parts.explainer)
    credentials = Credentials(options.pexip_credentials, realm=options.pexip_realm)
    readiness = Readiness(store, parts.catalog_status, parts.find, options.pexip_policies, parts.subsystems)
    locking = options.lock_on_validation_failure
    made = (
        Pexip(parts.answers, credentials, parts.metrics),
        Evaluation(asking),
        Validation(asking, store, parts.schemas, locks, lock_on_failure=locking),
        Locks(locks),
        Refresh(parts.refresher),
        Policies(store),
        TokenPages(parts.tokens or Tokens(store.tokens, store.audit, parts.clock), max_body=options.max_body),
        Exports(parts.bundles.exporter),
        Imports(parts.bundles.importer, parts.bundles.max_bytes),
        AutoImports(parts.bundles.auto, options.max_body),
        Subscribers(parts.subscriptions, max_body=options.max_body),
        Events(store.outbox),
        Deliveries(store.outbox, parts.clock),
        Editing(store, parts.publisher, parts.rehearsal, parts.managed, max_body=limit),
        History(store),
        AuditTrail(store.audit),
        Decisions(parts.decisions),
        DataApi(parts.versions, parts.find, parts.evaluator, options, parts.metrics),
        AccessApi(parts.find, parts.evaluator, options, parts.metrics),
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


def error_answers(noted: Noted | None = None) -> ErrorAnswers:
    """Make who answers errors, in each route's shape; ``noted`` hears of them."""
    shapes = {route.path: route.shape for route in ROUTES} | {DOUBLED: Shape.PEXIP}
    return ErrorAnswers(shapes, {(route.path, route.method): _table_of(route) for route in ROUTES}, noted)


def _table_of(route: Route) -> str:
    return {Evaluation: "evaluate", Validation: "validate", AccessApi: "access"}.get(route.resource, route.operation)
