"""Counts requests and decisions, and shows the counts to Prometheus."""

import os
from datetime import datetime
from typing import Final

import falcon
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from policy_server.api.decision_counts import DecisionCounts
from policy_server.api.workings import Workings
from policy_server.pexip.answers import Observation, Outcome

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The counters of one process.

    PERF: a labelled child is looked up once and kept; ``labels()`` takes a lock
    and builds a tuple each time.
    """

    def __init__(self) -> None:
        """Declare everything; no file is opened before something is counted."""
        self.registry = CollectorRegistry()
        self.workings = Workings(self.registry)
        self._requests = Counter(
            "policy_http_requests", "Requests answered.", ("handler", "method", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "policy_http_request_duration_seconds",
            "Time to answer a request.",
            ("handler",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._decisions = Counter(
            "policy_decisions", "Decisions made.", ("endpoint", "outcome", "source"), registry=self.registry
        )
        self._deciding = Histogram(
            "policy_decision_duration_seconds",
            "Time to come to a decision.",
            ("endpoint",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._fallbacks = Counter(
            "policy_decision_fallbacks",
            "Answers given by the configured fallback.",
            ("endpoint", "reason"),
            registry=self.registry,
        )
        self._violations = Counter(
            "policy_response_guard_violations",
            "Answers that Pexip would not have accepted.",
            ("endpoint", "check"),
            registry=self.registry,
        )
        self._failures = Counter(
            "policy_auth_failures", "Requests that were not let in.", ("kind",), registry=self.registry
        )
        self._deliveries = Counter(
            "policy_event_deliveries", "Attempts to tell somebody.", ("sink", "result"), registry=self.registry
        )
        self._pending: Gauge | None = None
        self._syncs = Counter(
            "policy_git_syncs", "Looks at Git repositories.", ("repository", "result"), registry=self.registry
        )
        self._synced = Gauge(
            "policy_git_sync_last_success_timestamp_seconds",
            "When a Git repository was last looked at without an error.",
            ("repository",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.decision_log = DecisionCounts(self.registry)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._made: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def request(self, handler: str, method: str, code: int, seconds: float) -> None:
        """Count one answered request; ``handler`` is a path template."""
        children = self._children.get((handler, method, code))
        if children is None:
            children = (self._requests.labels(handler, method, str(code)), self._seconds.labels(handler))
            self._children[handler, method, code] = children
        children[0].inc()
        children[1].observe(seconds)

    def decision(self, endpoint: str, outcome: str, source: str, seconds: float) -> None:
        """Count one decision: for whom, what came out, and whether policy or fallback said it."""
        children = self._made.get((endpoint, outcome, source))
        if children is None:
            children = (self._decisions.labels(endpoint, outcome, source), self._deciding.labels(endpoint))
            self._made[endpoint, outcome, source] = children
        children[0].inc()
        children[1].observe(seconds)

    def fallback(self, endpoint: str, reason: str) -> None:
        """Count one answer that the fallback gave."""
        self._fallbacks.labels(endpoint, reason).inc()

    def violation(self, endpoint: str, check: str) -> None:
        """Count one thing Pexip would not have accepted."""
        self._violations.labels(endpoint, check).inc()

    def pexip(self, seen: Observation) -> None:
        """Count one answer for Pexip; the observer of ``Answers``."""
        endpoint, outcome = str(seen.kind), seen.outcome
        source = "fallback" if outcome is Outcome.FALLBACK else "policy"
        self.decision(endpoint, str(outcome), source, seen.duration)
        if outcome is Outcome.FALLBACK:
            self.fallback(endpoint, seen.reason or "unknown")
        for violation in seen.violations:
            self.violation(endpoint, violation.code)

    def delivery(self, sink: str, result: str) -> None:
        """Count one attempt to tell somebody about a change; ``events.deliverer.Observer``."""
        self._deliveries.labels(sink, result).inc()

    def waiting(self, deliveries: int) -> None:
        """Note how many deliveries are to be tried."""
        if self._pending is None:
            # Not before: a gauge without labels opens its file at once, and only the process that delivers needs it.
            self._pending = Gauge(
                "policy_event_outbox_pending",
                "Deliveries that are to be tried.",
                registry=self.registry,
                multiprocess_mode="mostrecent",
            )
        self._pending.set(deliveries)

    def git_sync(self, repository: str, ok: bool, at: datetime) -> None:
        """Count one look at a Git repository."""
        self._syncs.labels(repository, "success" if ok else "failure").inc()
        if ok:
            self._synced.labels(repository).set(at.timestamp())

    def auth_failure(self, kind: str) -> None:
        """Count one request that was not let in."""
        self._failures.labels(kind).inc()

    def render(self) -> bytes:
        """Write all counts as Prometheus text, of every process where several share a directory."""
        # The library's own variable, set by the launcher before the library is imported.
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(self.registry)
        # A fresh registry each time: the collector reads the files of all processes.
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call] # the library has no annotation here
        return generate_latest(everyone)


class MetricsPage:
    """Shows the counts."""

    def __init__(self, metrics: Metrics) -> None:
        """Take the counters."""
        self._metrics = metrics

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer Prometheus' text format."""
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = self._metrics.render()
