"""Counts what becomes of the records of decisions."""

from prometheus_client import CollectorRegistry, Counter


class DecisionCounts:
    """Implements decisions.lane.Counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare the counters; all have labels, so that no file is opened before something is counted."""
        self._dropped = Counter(
            "policy_decision_log_dropped", "Records of decisions that were lost.", ("reason",), registry=registry
        )
        self._records = Counter(
            "policy_decision_log_records",
            "Records of decisions, by what a sink did with them.",
            ("sink", "result"),
            registry=registry,
        )
        self._erased = Counter(
            "policy_decision_log_erased",
            "Records of decisions that were kept without input and result.",
            ("reason",),
            registry=registry,
        )

    def dropped(self, reason: str, count: int = 1) -> None:
        """Count records that are lost."""
        self._dropped.labels(reason).inc(count)

    def recorded(self, sink: str, result: str, count: int = 1) -> None:
        """Count records by what a sink did with them: ``written``, ``failed`` (an attempt) or ``dropped``."""
        self._records.labels(sink, result).inc(count)

    def erased(self, reason: str) -> None:
        """Count a record that was kept without input and result."""
        self._erased.labels(reason).inc()
