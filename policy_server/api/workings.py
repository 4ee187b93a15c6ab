"""Counts of what goes on behind the answers: compilations, fetched data, instances, background work.

What has no labels is declared at its first use: it opens its file at once, and few processes need it.
"""

import threading
from datetime import datetime
from functools import cached_property
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMPILING: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SOURCES: Final = 100
"""How many sources of data are counted by name; whoever may write policies could fill the files otherwise."""

OTHER: Final = "other"


class Workings:
    """The counters behind those of requests and decisions; of one process, shown in the sum of all."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Take who shows them."""
        self._registry = registry
        self._sources: set[str] = set()
        self._declaring = threading.Lock()
        self._broken = Counter(
            "policy_compile_failures", "Policies that could not be compiled.", ("reason",), registry=registry
        )
        self._refreshes = Counter(
            "policy_data_source_refreshes",
            "Attempts to fetch the data of a policy.",
            ("source", "result"),
            registry=registry,
        )
        self._refreshed = Gauge(
            "policy_data_source_last_success_timestamp_seconds",
            "When the data of a policy was last fetched without an error.",
            ("source",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def compiled(self, seconds: float, failure: str | None) -> None:
        """Count one compilation; ``failure`` is the slug of its error."""
        with self._declaring:  # threads that compile at the same time
            compiling = self._compiling
        compiling.observe(seconds)
        if failure is not None:
            self._broken.labels(failure).inc()

    def refreshed(self, source: str, ok: bool, at: datetime) -> None:
        """Count one attempt to fetch the data of a policy."""
        if source not in self._sources:
            if len(self._sources) >= SOURCES:
                source = OTHER
            self._sources.add(source)
        self._refreshes.labels(source, "success" if ok else "failure").inc()
        if ok and source != OTHER:
            self._refreshed.labels(source).set(at.timestamp())

    def engine(self, policies: int, instances: int, memory: int) -> None:
        """Note how many policies are loaded, their instances, and the bytes of memory of those; from one thread."""
        self._policies.set(policies)
        self._instances.set(instances)
        self._memory.set(memory)

    def condition(self, *, degraded: bool, acting: bool) -> None:
        """Note whether this worker does without the store, and whether it is the one that does background work."""
        self._degraded.set(degraded)
        self._acting.set(acting)

    @cached_property
    def _compiling(self) -> Histogram:
        return Histogram(
            "policy_compile_duration_seconds", "Time to compile a policy.", buckets=COMPILING, registry=self._registry
        )

    @cached_property
    def _policies(self) -> Gauge:
        return self._sum("policy_engine_policies", "Loaded policies, each counted in every worker that has it.")

    @cached_property
    def _instances(self) -> Gauge:
        return self._sum("policy_engine_instances", "Instances of policies.")

    @cached_property
    def _memory(self) -> Gauge:
        return self._sum("policy_engine_memory_bytes", "Memory of instances, as of the last evaluation of each.")

    @cached_property
    def _degraded(self) -> Gauge:
        return self._sum("policy_degraded_workers", "Workers that answer from what is loaded, without the store.")

    @cached_property
    def _acting(self) -> Gauge:
        return self._sum("policy_acting_workers", "Workers that do the background work; one of all servers together.")

    def _sum(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self._registry, multiprocess_mode="livesum")
