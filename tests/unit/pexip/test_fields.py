"""The catalogue of parameters."""

import pytest

from policy_server.pexip.fields import FIELDS, FieldType, field_name, fields_of
from policy_server.pexip.kinds import RequestKind


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (RequestKind.SERVICE, 30),
        (RequestKind.PARTICIPANT, 36),
        (RequestKind.MEDIA_LOCATION, 29),
        (RequestKind.AVATAR, 30),
        (RequestKind.DIRECTORY, 8),
        (RequestKind.REGISTRATION, 7),
    ],
)
def test_every_kind_has_its_documented_parameters(kind: RequestKind, count: int) -> None:
    """The table of the specification, counted column by column."""
    assert sum(field.documented for field in fields_of(kind).values()) == count


def test_no_parameter_stands_twice_for_a_kind() -> None:
    """One name means one thing in one kind of request."""
    for kind in RequestKind:
        names = [field.name for field in FIELDS if kind in field.kinds]

        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "wire", ["p_Asserted-Identity", "P-Asserted-Identity", "p_asserted_identity", "P_ASSERTED-identity"]
)
def test_header_names_have_many_spellings(wire: str) -> None:
    """What came from a SIP header is found however it is spelled, and is a list."""
    assert fields_of(RequestKind.SERVICE)[field_name(wire)].type is FieldType.LIST


def test_other_names_have_one_spelling() -> None:
    """Documented parameters are lower case; another spelling is another parameter."""
    assert field_name("Local_Alias") == "Local_Alias"
    assert field_name("registered_alias") == "registration_alias"


def test_the_passcode_is_a_secret() -> None:
    """Nobody may log the passcode of a calendar item."""
    assert {field.name for field in FIELDS if field.secret} == {"third_party_passcode"}
