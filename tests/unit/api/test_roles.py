"""Every route says what it needs."""

from policy_server.api.errors import Shape
from policy_server.api.roles import ROLES, Narrow, Open, need_of
from policy_server.api.routes import ROUTES
from policy_server.model.principal import Role


def test_every_route_needs_a_role_or_says_that_it_is_open() -> None:
    """A route that was forgotten fails here, and needs an administrator until it is there."""
    assert {route.operation for route in ROUTES} == set(ROLES)
    assert need_of("forgotten") is Role.ADMIN


def test_pexips_routes_and_no_others_have_their_own_protection() -> None:
    """Pexip knows HTTP Basic only."""
    pexip = {route.operation for route in ROUTES if route.shape is Shape.PEXIP}

    assert {operation for operation, need in ROLES.items() if need is Open.PEXIP} == pexip


def test_only_probes_pages_and_public_keys_are_open() -> None:
    """Nothing that tells or changes what a policy says is for everybody."""
    open_ = {route.operation: route.tag for route in ROUTES if need_of(route.operation) is Open.EVERYBODY}
    others = {operation for operation, tag in open_.items() if tag not in {"Health", "Documentation"}}

    # Who verifies a bundle, or looks for the front doors, has no token; a Git host signs what it sends.
    assert others == {"key", "authzen_configuration", "git_hook"}


def test_whoever_narrows_has_no_repository_in_the_address() -> None:
    """Where there is one, it is checked before the route answers."""
    narrow = [route.path for route in ROUTES if isinstance(need_of(route.operation), Narrow)]

    assert [path for path in narrow if "{repository}" in path] == []
