"""Roles, scopes, and what they are enough for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.principal import (
    ANONYMOUS,
    INCLUDED,
    Grant,
    Principal,
    Role,
    bounded,
    grants_of,
    parse_grant,
)


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


GRANTS = st.lists(st.builds(Grant, st.sampled_from(Role), st.sampled_from([None, "a", "b"])), max_size=4)


@given(GRANTS, GRANTS)
def test_a_ceiling_lets_through_what_both_allow(grants: list[Grant], ceiling: list[Grant]) -> None:
    """Never more, and never less in any one repository; everywhere only when both say everywhere."""
    granted, limit = Principal("x", tuple(grants)), Principal("x", tuple(ceiling))
    left = Principal("x", bounded(grants, ceiling))

    for role in Role:
        for repository in ("a", "b", "c"):
            both = granted.allows(role, repository) and limit.allows(role, repository)
            assert left.allows(role, repository) is both
        assert left.allows(role) is (granted.allows(role) and limit.allows(role))


def test_what_is_left_is_said_in_the_fewest_words() -> None:
    """The larger role below both, where both are."""
    everything = (Grant(Role.ADMIN),)

    assert bounded(everything, [Grant(Role.PUBLISH, "a")]) == (Grant(Role.PUBLISH, "a"),)
    assert bounded([Grant(Role.EDIT)], [Grant(Role.READ), Grant(Role.PUBLISH, "a")]) == (
        Grant(Role.READ),
        Grant(Role.EDIT, "a"),
    )
    assert bounded([Grant(Role.READ, "a")], [Grant(Role.ADMIN, "b")]) == ()
    assert bounded(everything, []) == ()
