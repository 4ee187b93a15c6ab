"""Roles, scopes, and what they are enough for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.principal import ANONYMOUS, INCLUDED, Grant, Principal, Role, grants_of, parse_grant


def test_roles_include_what_makes_sense() -> None:
    """Publish holds edit, edit holds evaluate and read, those two hold nothing but themselves."""
    included = {str(role): sorted(roles) for role, roles in INCLUDED.items()}

    assert included == {
        "evaluate": ["evaluate"],
        "read": ["read"],
        "edit": ["edit", "evaluate", "read"],
        "publish": ["edit", "evaluate", "publish", "read"],
        "admin": ["admin", "edit", "evaluate", "publish", "read"],
    }


def test_a_repository_is_a_border() -> None:
    """A role in one is none in another, and none everywhere."""
    principal = Principal("x", grants_of(["edit:a", "read:b", "evaluate"]))

    assert principal.allows(Role.READ, "a")
    assert principal.allows(Role.READ, "b")
    assert principal.allows(Role.EVALUATE, "c")
    assert not principal.allows(Role.EDIT, "b")
    assert not principal.allows(Role.READ, "ab")
    assert not principal.allows(Role.READ)
    assert principal.repositories(Role.READ) == {"a", "b"}
    assert principal.repositories(Role.EVALUATE) is None
    assert principal.repositories(Role.ADMIN) == frozenset()
    assert ANONYMOUS.repositories(Role.ADMIN) is None


@given(st.sampled_from(Role), st.text(min_size=1).filter(str.strip) | st.none())
def test_scopes_are_read_as_they_are_written(role: Role, repository: str | None) -> None:
    """A repository may have any name, colons too."""
    grant = Grant(role, repository)

    assert parse_grant(str(grant)) == grant


@pytest.mark.parametrize("text", ["", "reads", "READ", "read:", ":a", "admin ", "*"])
def test_what_is_no_scope_grants_nothing(text: str) -> None:
    """In a setting it is an error, in a claim it is another service's word."""
    with pytest.raises(ValueError, match=r"scope|repository"):
        parse_grant(text)
    assert grants_of([text, "read"]) == (Grant(Role.READ),)
