"""What one look at a source of policies led to."""

from dataclasses import dataclass

from policy_server.model.policy import PolicyId


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that was left alone, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Write it for a log."""
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Failed:
    """A policy whose source could not be published, and why."""

    policy: PolicyId
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one look led to, ordered by id or path.

    ``failed`` has what failed now and what is known to fail since it has not
    changed; the last good revisions of those keep answering. ``missing`` are
    policies that are gone but not deleted yet.
    """

    published: tuple[PolicyId, ...] = ()
    unchanged: tuple[PolicyId, ...] = ()
    failed: tuple[Failed, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    deleted: tuple[PolicyId, ...] = ()
    missing: tuple[PolicyId, ...] = ()

    def __str__(self) -> str:
        """Count, for a log."""
        names = ("published", "unchanged", "failed", "skipped", "deleted", "missing")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in names if getattr(self, name)) or "nothing"
