"""What the routes are made of; joined by the assembly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policy_server.api.edit_tags import Managed
from policy_server.api.metrics import Metrics
from policy_server.api.taking import Take
from policy_server.auth.gate import Gate
from policy_server.auth.proxies import Proxies
from policy_server.auth.tokens import Tokens
from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.engine.catalog import Ready
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.explaining import Explainer
from policy_server.engine.results import Results
from policy_server.engine.versions import Versions
from policy_server.events.subscriptions import Subscriptions
from policy_server.model.policy import PolicyId
from policy_server.model.status import Status
from policy_server.pexip.answers import Answers
from policy_server.ports import Clock, DecisionStore, Publisher, Store
from policy_server.publishing.rehearsal import Rehearsal
from policy_server.publishing.schema import OutputSchemas
from policy_server.refresh.refresher import Refresher
from policy_server.sources.git_requests import GitRequests

Find = Callable[[PolicyId], Ready]
"""The catalog's: what answers for a policy in this worker, or why nothing does."""

ASSETS = Path(__file__).parent / "assets" / "swagger"
"""Where set-up puts the files of Swagger UI."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The settings the routes need.

    ``max_body`` is in bytes, ``evaluation_deadline`` in seconds.
    ``pexip_credentials`` are pairs of user and password; none means that Pexip
    routes are open. ``pexip_policies`` must answer before the server calls
    itself ready. ``url`` is the address that callers see; ``authzen_policy``
    answers AuthZEN's requests, None: nobody does.
    """

    max_body: int = 10 << 20
    evaluation_deadline: float = 2.0
    pexip_credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pexip_realm: str = "policy-server"
    pexip_policies: tuple[PolicyId, ...] = ()
    lock_on_validation_failure: bool = False
    serve_metrics: bool = True
    assets: Path = ASSETS
    url: str = "http://127.0.0.1:8080"
    authzen_policy: PolicyId | None = None


@dataclass(frozen=True, slots=True)
class Bundles:
    """Who exports and imports; ``max_bytes`` is the largest bundle that is read."""

    exporter: Exporter
    importer: Importer
    auto: AutoImporter
    max_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The collaborators of the routes.

    ``subsystems`` are named statuses that health pages show but that never make
    the server unready: the toolkit, background work, feeds. ``explainer`` is None
    where nobody may ask for explanations, ``git`` where no Git repositories are followed.
    ``gate`` knows callers; by default everybody may do everything. ``tokens`` are made of
    the store when they are not given. ``managed`` says where a policy is edited when that is not here.
    ``take`` records decisions, None: nobody does; ``decisions`` is where they are found again, None: nowhere.
    """

    answers: Answers
    evaluator: Evaluator
    store: Store
    publisher: Publisher
    rehearsal: Rehearsal
    refresher: Refresher
    schemas: OutputSchemas
    catalog_status: Callable[[], Status]
    find: Find
    versions: Versions
    results: Results
    clock: Clock
    metrics: Metrics
    bundles: Bundles
    subscriptions: Subscriptions
    options: ApiOptions = field(default_factory=ApiOptions)
    subsystems: Mapping[str, Callable[[], Status]] = field(default_factory=dict)
    explainer: Explainer | None = None
    gate: Gate = field(default_factory=lambda: Gate(proxies=Proxies(())))
    tokens: Tokens | None = None
    managed: Managed = lambda _policy: None
    git: GitRequests | None = None
    decisions: DecisionStore | None = None
    take: Take | None = None
