"""Who asks, and what they may do where."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What somebody may do.

    EVALUATE: ask policies. READ: see sources, data and history. EDIT: also try changes out, and change
    data. PUBLISH: also change which policies answer, and lock them. ADMIN: also tokens, keys and settings.
    """

    EVALUATE = "evaluate"
    READ = "read"
    EDIT = "edit"
    PUBLISH = "publish"
    ADMIN = "admin"


INCLUDED: Final = MappingProxyType(
    {
        Role.EVALUATE: frozenset({Role.EVALUATE}),
        # Seeing a policy is not asking it: evaluations have effects (http.send, storage.set).
        Role.READ: frozenset({Role.READ}),
        # Whoever decides what a policy says gains nothing by being kept from asking it.
        Role.EDIT: frozenset({Role.EVALUATE, Role.READ, Role.EDIT}),
        Role.PUBLISH: frozenset({Role.EVALUATE, Role.READ, Role.EDIT, Role.PUBLISH}),
        Role.ADMIN: frozenset(Role),
    }
)
"""What each role includes."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, in one repository or (None) everywhere; written ``read`` or ``read:repository``."""

    role: Role
    repository: str | None = None

    def __str__(self) -> str:
        """Write it as a scope."""
        return str(self.role) if self.repository is None else f"{self.role}:{self.repository}"

    def covers(self, role: Role, repository: str | None) -> bool:
        """Tell whether it is enough; a None repository asks for everywhere."""
        return role in INCLUDED[self.role] and self.repository in (None, repository)


def parse_grant(text: str) -> Grant:
    """Read a scope; ValueError when its first word is no role or the repository is missing."""
    word, colon, repository = text.partition(":")
    if colon and not repository:
        raise ValueError(f"{text!r} names no repository")
    try:
        return Grant(Role(word), repository or None)
    except ValueError as error:
        known = ", ".join(Role)
        raise ValueError(f"{text!r} is no scope: one of {known}, or such as read:repository") from error


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks; ``name`` says how we know them: ``token:ci``, ``jwt:alice``, ``cert:CN=gateway``."""

    name: str
    grants: tuple[Grant, ...]

    def allows(self, role: Role, repository: str | None = None) -> bool:
        """Tell whether they have a role in a repository; None asks for all repositories."""
        return any(grant.covers(role, repository) for grant in self.grants)

    def repositories(self, role: Role) -> frozenset[str] | None:
        """Return where they have a role; None means everywhere."""
        granted = [grant.repository for grant in self.grants if role in INCLUDED[grant.role]]
        return None if None in granted else frozenset(name for name in granted if name is not None)


EVERYTHING: Final = (Grant(Role.ADMIN),)
ANONYMOUS: Final = Principal("anonymous", EVERYTHING)
"""Whoever asks where nobody needs to say who they are."""

NOBODY: Final = Principal("nobody", ())
"""Whoever asks for what is open to everybody."""

LOCAL: Final = Principal("local", EVERYTHING)
"""Commands that work on the store itself."""


def bounded(grants: Iterable[Grant], ceiling: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return what is both granted and below the ceiling: allowed is what both allow, role by role, place by place."""
    ceiling = tuple(ceiling)
    found: dict[Grant, None] = {}
    for grant in grants:
        for limit in ceiling:
            places = {grant.repository, limit.repository} - {None}
            if len(places) < 2:
                place = next(iter(places), None)
                found |= {Grant(role, place): None for role in _common(grant.role, limit.role)}
    return tuple(found)


def _common(one: Role, other: Role) -> list[Role]:
    """Return the largest roles that both include."""
    both = INCLUDED[one] & INCLUDED[other]
    within = [role for role in both if INCLUDED[role] <= both]
    return sorted(role for role in within if not any(INCLUDED[role] < INCLUDED[more] for more in within))


def grants_of(scopes: Iterable[str]) -> tuple[Grant, ...]:
    """Read scopes, leaving out those that are not ours: claims of tokens also hold other services' words."""
    found = []
    for scope in scopes:
        try:
            found.append(parse_grant(scope))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))
