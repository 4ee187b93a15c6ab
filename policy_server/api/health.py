"""Says truthfully whether this process is alive, and whether it can answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import falcon
import msgspec
from msgspec import UNSET

from policy_server.api.models import CheckView, Health, ServiceHealth
from policy_server.api.request import ApiRequest
from policy_server.engine.catalog import Ready
from policy_server.model.errors import PolicyLocked, PolicyServerError
from policy_server.model.policy import PolicyId, PolicyState
from policy_server.model.status import State, Status
from policy_server.ports import Store
from policy_server.version import VERSION

READY: Final = "ready"
DEGRADED: Final = "degraded"
UNREADY: Final = "unready"
FAILED: Final = "failed"

StatusOf = Callable[[], Status]


class Readiness:
    """Looks at everything an answer needs.

    Required: the catalog has read the store, and every policy that Pexip's
    requests are mapped to is loaded. A store that is away only degrades: what
    is loaded goes on answering. So do the subsystems.
    """

    def __init__(
        self,
        store: Store,
        catalog: StatusOf,
        find: Callable[[PolicyId], Ready],
        policies: Iterable[PolicyId],
        subsystems: Mapping[str, StatusOf],
    ) -> None:
        """Take what is looked at."""
        self._store = store
        self._catalog = catalog
        self._find = find
        self._policies = tuple(dict.fromkeys(policies))
        self._subsystems = subsystems

    def look(self) -> list[CheckView]:
        """Look at everything, now."""
        return list(self._checks())

    def _checks(self) -> Iterator[CheckView]:
        yield self._ping()
        yield _told("catalog", self._catalog(), required=True)
        for policy in self._policies:
            state, message = self._standing(policy)
            yield CheckView(f"policy {policy}", state, required=True, message=message, since=None)
        for name, status in self._subsystems.items():
            yield _told(name, status(), required=False)

    def _ping(self) -> CheckView:
        known = self._catalog()
        if known.state is State.DEGRADED:
            # Found out a moment ago; a probe that asks again might hang where callers no longer do.
            return CheckView("store", FAILED, required=False, message=known.message, since=known.since)
        try:
            self._store.ping()
        except PolicyServerError as error:
            return CheckView("store", FAILED, required=False, message=error.message, since=None)
        return CheckView("store", READY, required=False, message="answers", since=None)

    def _standing(self, policy: PolicyId) -> tuple[str, str]:
        try:
            ready = self._find(policy)
        except PolicyLocked:
            return DEGRADED, "locked: its requests get the fallback"
        except PolicyServerError as error:
            return FAILED, error.slug
        answers = f"revision {ready.revision.number} answers"
        if f"{policy.entrypoint}/decision" not in ready.policy.entrypoints:
            return DEGRADED, "it has no rule decision: its requests get the fallback"
        return (DEGRADED, f"the newest source failed; {answers}") if self._is_stale(policy) else (READY, answers)

    def _is_stale(self, policy: PolicyId) -> bool:
        if self._catalog().state is State.DEGRADED:
            return False
        try:
            return self._store.get(policy).state is PolicyState.STALE
        except PolicyServerError:
            return False  # the check of the store tells


def _told(name: str, status: Status, *, required: bool) -> CheckView:
    return CheckView(name, str(status.state), required, status.message, status.since)


def conclude(checks: Iterable[CheckView]) -> str:
    """Sum checks up in one word; starting counts as not yet ready."""
    states = [(check.state, check.required) for check in checks]
    if any(required and state not in {READY, DEGRADED} for state, required in states):
        return UNREADY
    return READY if all(state == READY for state, _ in states) else DEGRADED


class HealthPages:
    """Answers probes; needs no password and tells no secret."""

    def __init__(self, readiness: Readiness) -> None:
        """Take who looks."""
        self._readiness = readiness

    def on_get_livez(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer that the process serves requests."""
        _show(resp, Health("live"), ok=True)

    def on_get_readyz(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Answer whether it can decide, with every check when ``verbose`` is asked for."""
        checks = self._readiness.look()
        status = conclude(checks)
        _show(resp, Health(status, checks if "verbose" in req.params else UNSET), ok=status != UNREADY)

    def on_get_liveness(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer like the policy service."""
        _show(resp, ServiceHealth("policy", "up", VERSION), ok=True)

    def on_get_readiness(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """Answer like the policy service, but truthfully."""
        ready = conclude(self._readiness.look()) != UNREADY
        _show(resp, ServiceHealth("policy", "up" if ready else "down", VERSION), ok=ready)


def _show(resp: falcon.Response, document: msgspec.Struct, *, ok: bool) -> None:
    resp.status = 200 if ok else 503
    resp.content_type = falcon.MEDIA_JSON
    resp.set_header("cache-control", "no-store")
    resp.data = msgspec.json.encode(document) + b"\n"
