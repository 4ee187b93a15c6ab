"""What the routes are made of; joined by the assembly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policy_server.api.metrics import Metrics
from policy_server.engine.catalog import Ready
from policy_server.engine.evaluator import Evaluator
from policy_server.engine.explaining import Explainer
from policy_server.model.policy import PolicyId
from policy_server.model.status import Status
from policy_server.pexip.answers import Answers
from policy_server.ports import Clock, Store
from policy_server.publishing.schema import OutputSchemas
from policy_server.refresh.refresher import Refresher
from policy_server.sources.git_requests import GitRequests

ASSETS = Path(__file__).parent / "assets" / "swagger"
"""Where set-up puts the files of Swagger UI."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The settings the routes need.

    ``max_body`` is in bytes, ``evaluation_deadline`` in seconds.
    ``pexip_credentials`` are pairs of user and password; none means that Pexip
    routes are open. ``pexip_policies`` must answer before the server calls
    itself ready.
    """

    max_body: int = 10 << 20
    evaluation_deadline: float = 2.0
    pexip_credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pexip_realm: str = "policy-server"
    pexip_policies: tuple[PolicyId, ...] = ()
    lock_on_validation_failure: bool = False
    serve_metrics: bool = True
    assets: Path = ASSETS


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of the routes.

    ``find`` is the catalog's: what answers for a policy in this worker, or why nothing does.
    ``subsystems`` are named statuses that health pages show but that never make
    the server unready: the toolkit, background work, feeds. ``explainer`` is None
    where nobody may ask for explanations, ``git`` where no Git repositories are followed.
    """

    answers: Answers
    evaluator: Evaluator
    store: Store
    refresher: Refresher
    schemas: OutputSchemas
    catalog_status: Callable[[], Status]
    find: Callable[[PolicyId], Ready]
    clock: Clock
    metrics: Metrics
    options: ApiOptions = field(default_factory=ApiOptions)
    subsystems: Mapping[str, Callable[[], Status]] = field(default_factory=dict)
    explainer: Explainer | None = None
    git: GitRequests | None = None
