"""Which role each route needs; a route that is not here needs ADMIN, and a test fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from policy_server.model.principal import Role


class Open(Enum):
    """Routes that need no role: everybody may see them, or (PEXIP) HTTP Basic protects them."""

    EVERYBODY = "everybody"
    PEXIP = "pexip"


@dataclass(frozen=True, slots=True)
class Narrow:
    """A route that is about no repository in its address, and itself shows or does only what the caller may."""

    role: Role


Need = Role | Narrow | Open

ROLES: Final[Mapping[str, Need]] = {
    # Pexip knows HTTP Basic only (POLICY_PEXIP_CREDENTIALS).
    "pexip_service": Open.PEXIP,
    "pexip_participant": Open.PEXIP,
    "pexip_location": Open.PEXIP,
    "pexip_avatar": Open.PEXIP,
    "pexip_audioavatar": Open.PEXIP,
    "pexip_directory": Open.PEXIP,
    "pexip_registration": Open.PEXIP,
    # Evaluations.
    "evaluation_get": Role.EVALUATE,
    "evaluation_post": Role.EVALUATE,
    "evaluation_did_json_get": Role.EVALUATE,
    "validation_get": Role.EVALUATE,
    "validation_post": Role.EVALUATE,
    "validation_did_json_get": Role.EVALUATE,
    # What is there.
    "list": Narrow(Role.READ),
    "show": Role.READ,
    # Changes. Locking stops answers for everybody.
    "lock": Role.PUBLISH,
    "unlock": Role.PUBLISH,
    "refresh": Role.EDIT,
    # Administration. What is put is published at once; a check publishes nothing.
    "revisions": Role.READ,
    "revision": Role.READ,
    "diff": Role.READ,
    "data": Role.READ,
    "check": Role.EDIT,
    "put": Role.PUBLISH,
    "put_data": Role.EDIT,
    "delete": Role.PUBLISH,
    "rollback": Role.PUBLISH,
    "audit": Role.ADMIN,
    # Decisions, of the repositories that the caller may read.
    "decisions": Narrow(Role.READ),
    "decision": Narrow(Role.READ),
    # Front doors.
    "data_get": Narrow(Role.EVALUATE),
    "data_post": Narrow(Role.EVALUATE),
    "access_evaluation": Narrow(Role.EVALUATE),
    "access_evaluations": Narrow(Role.EVALUATE),
    "authzen_configuration": Open.EVERYBODY,
    # Git. A push hook shows its own secret.
    "git": Role.ADMIN,
    "git_repository": Role.READ,
    "git_sync": Role.PUBLISH,
    "git_hook": Open.EVERYBODY,
    # Bundles. A verifier fetches the key without a token; what is imported is known only when the bundle was read.
    "key": Open.EVERYBODY,
    "export": Role.READ,
    "import": Narrow(Role.PUBLISH),
    "auto_imports": Role.ADMIN,
    "save_auto_import": Role.ADMIN,
    "remove_auto_import": Role.ADMIN,
    # Events. Who subscribes has this server call an address.
    "subscribe": Role.EDIT,
    "subscribers": Role.READ,
    "subscriber": Role.READ,
    "unsubscribe": Role.EDIT,
    "test_subscriber": Role.EDIT,
    "events": Role.ADMIN,
    "deliveries": Role.ADMIN,
    "redeliver": Role.ADMIN,
    # Access.
    "tokens": Role.ADMIN,
    "create_token": Role.ADMIN,
    "revoke_token": Role.ADMIN,
    # Probes and pages, which say nothing secret.
    "livez": Open.EVERYBODY,
    "readyz": Open.EVERYBODY,
    "liveness": Open.EVERYBODY,
    "readiness": Open.EVERYBODY,
    "health": Open.EVERYBODY,
    "metrics": Open.EVERYBODY,
    "openapi": Open.EVERYBODY,
    "docs": Open.EVERYBODY,
    "docs_asset": Open.EVERYBODY,
    "swagger_openapi": Open.EVERYBODY,
    "swagger": Open.EVERYBODY,
    "swagger_asset": Open.EVERYBODY,
    "problems": Open.EVERYBODY,
    "problem": Open.EVERYBODY,
}
"""By operation of the route table."""


def need_of(operation: str) -> Need:
    """Return what an operation needs."""
    return ROLES.get(operation, Role.ADMIN)
