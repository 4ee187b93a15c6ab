"""Says truthfully whether this process is alive, and whether it can answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import falcon
import msgspec
from msgspec import UNSET

from policy_server.api.models import CheckView, Health, ServiceHealth
from policy_server.api.request import ApiRequest
from policy_server.model.errors import PolicyServerError
from policy_server.model.policy import PolicyId, PolicyRecord, PolicyState
from policy_server.model.status import Status
from policy_server.ports import Store
from policy_server.version import VERSION

READY: Final = "ready"
DEGRADED: Final = "degraded"
UNREADY: Final = "unready"
FAILED: Final = "failed"

StatusOf = Callable[[], Status]


class Readiness:
    """Looks at everything an answer needs.

    Required: the store answers, the catalog has read it, and every policy that
    Pexip's requests are mapped to has a good revision. The rest can only degrade.
    """

    def __init__(
        self, store: Store, catalog: StatusOf, policies: Iterable[PolicyId], subsystems: Mapping[str, StatusOf]
    ) -> None:
        """Take what is looked at."""
        self._store = store
        self._catalog = catalog
        self._policies = tuple(dict.fromkeys(policies))
        self._subsystems = subsystems

    def look(self) -> list[CheckView]:
        """Look at everything, now."""
        return list(self._checks())

    def _checks(self) -> Iterator[CheckView]:
        yield self._ping()
        yield _told("catalog", self._catalog(), required=True)
        for policy in self._policies:
            yield self._policy(policy)
        for name, status in self._subsystems.items():
            yield _told(name, status(), required=False)

    def _ping(self) -> CheckView:
        try:
            self._store.ping()
        except PolicyServerError as error:
            return CheckView("store", FAILED, required=True, message=error.message, since=None)
        return CheckView("store", READY, required=True, message="answers", since=None)

    def _policy(self, policy: PolicyId) -> CheckView:
        name = f"policy {policy}"
        try:
            record = self._store.get(policy)
        except PolicyServerError as error:
            return CheckView(name, FAILED, required=True, message=error.message, since=None)
        state, message = _standing(record)
        return CheckView(name, state, required=True, message=message, since=record.updated_at)


def _standing(record: PolicyRecord) -> tuple[str, str]:
    if record.revision is None:
        return FAILED, f"no good revision: {record.failure.code if record.failure else 'unknown'}"
    if record.locked:
        return DEGRADED, "locked: its requests get the fallback"
    answering = f"revision {record.revision.number} answers"
    return (
        (READY, answering)
        if record.state is PolicyState.READY
        else (DEGRADED, f"the newest source failed; {answering}")
    )


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
