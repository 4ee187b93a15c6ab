"""From text to typed input documents."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.pexip.inputs import input_document, read_request, unknown_parameters
from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.query import parse_query

AT = datetime(2026, 11, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def read(query: str, kind: RequestKind = RequestKind.PARTICIPANT, alias: str | None = None) -> Any:
    """Read one request."""
    return orjson.loads(input_document(kind, alias=alias, query=parse_query(query), received_at=AT, mount="/pexip"))


def test_a_document_says_what_was_asked_when_and_where() -> None:
    """Kind, path alias, time in UTC and mount prefix come with every request."""
    document = read("", RequestKind.REGISTRATION, "sip:Room7@vc.example")

    assert document["request_type"] == "registration"
    assert document["alias"] == "sip:Room7@vc.example"
    assert document["path"]["bare"] == "room7@vc.example"
    assert document["received_at"] == "2026-11-01T12:00:00.123Z"
    assert document["mount"] == "/pexip"


def test_the_time_is_told_in_utc() -> None:
    """Another zone is another spelling of the same time."""
    at = AT.astimezone(timezone(timedelta(hours=5)))

    document = read_request(RequestKind.SERVICE, alias=None, query={}, received_at=at, mount="")

    assert document["received_at"] == "2026-11-01T12:00:00.123Z"


def test_text_stays_as_it_came_in_params() -> None:
    """Rules can look at the raw text: first values and all values."""
    document = read("registered=True&x=1&x=2&call_tag=")

    assert document["params"] == {"registered": "True", "x": "1", "call_tag": ""}
    assert document["params_all"] == {"registered": ["True"], "x": ["1", "2"], "call_tag": [""]}


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        ("registered=True", "registered", True),
        ("registered=False", "registered", False),
        ("registered=true", "registered", True),
        ("registered=YES", "registered", True),
        ("registered=0", "registered", False),
        ("registered=maybe", "registered", None),
        ("registered=", "registered", None),
        ("remote_port=5061", "remote_port", 5061),
        ("remote_port=-1", "remote_port", -1),
        ("remote_port=5061x", "remote_port", None),
        ("remote_port=" + "9" * 400, "remote_port", None),
        ("bandwidth=0", "bandwidth", 0),
        ('protocol="sip"', "protocol", "sip"),
        ("preauthenticated_role=", "preauthenticated_role", None),
        ("preauthenticated_role=None", "preauthenticated_role", None),
        ("preauthenticated_role=null", "preauthenticated_role", None),
        ("", "preauthenticated_role", None),
        ("preauthenticated_role=chair", "preauthenticated_role", "chair"),
        ("call_tag=None", "call_tag", None),
        ('remote_display_name="Kari"', "remote_display_name", '"Kari"'),
        ("P-Asserted-Identity=a&p_Asserted-Identity=b", "p_asserted_identity", ["a", "b"]),
        ("ms_subnet=10.0.0.0&ms-subnet=", "ms_subnet", ["10.0.0.0"]),
        ("", "ms_subnet", []),
        ("encryption=On", "encryption", "On"),
        ("Request-Id=ab12", "request_id", "ab12"),
        ("vendor=a&vendor=b", "vendor", "a"),
    ],
)
def test_parameters_get_types(query: str, field: str, expected: object) -> None:
    """Python's words become booleans, digits integers, unset null, headers lists."""
    assert read(query)["call"][field] == expected


def test_every_documented_parameter_is_there_even_when_it_was_not_sent() -> None:
    """A rule can name any parameter of its kind; what was not sent is null."""
    call = read("")["call"]

    assert call["idp_uuid"] is None
    assert "q" not in call
    assert "encryption" not in call


def test_unknown_parameters_are_kept_and_told() -> None:
    """What we do not know is in params and can be logged; it is never refused."""
    query = parse_query("brand_new=1&local_alias=a&idp_attribute_x=1&ms_subnet=1")

    assert unknown_parameters(RequestKind.SERVICE, query) == ("brand_new",)
    assert read("brand_new=1")["params"]["brand_new"] == "1"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("idp_attribute_groups=a&idp_attribute_groups=b", {"groups": ["a", "b"]}),
        ('idp_attribute_groups=["a","b"]', {"groups": ["a", "b"]}),
        ("idp_attribute_groups=[1,2]", {"groups": ["[1,2]"]}),
        ("idp_attribute_groups=[a", {"groups": ["[a"]}),
        ("idp_attribute_groups=" + "[" * 5000, {"groups": ["[" * 5000]}),
        ("idp_attribute_groups=", {"groups": []}),
        ("idp_attribute_http%3A%2F%2Fx%2Fy+z=1", {"http://x/y z": ["1"]}),
        ("idp_attribute_firstName=A&idp_attribute_firstname=B", {"firstName": ["A"], "firstname": ["B"]}),
        ("", {}),
    ],
)
def test_identity_attributes_are_lists(query: str, expected: dict[str, list[str]]) -> None:
    """Repeated keys and JSON text mean the same; names keep their case and may be anything."""
    assert read(query)["idp_attributes"] == expected


def test_dialed_and_calling_alias_are_taken_apart() -> None:
    """Rules compare the bare alias, whatever the protocol made of it."""
    document = read("local_alias=sip%3ARoom-7%40vc.example&remote_alias=h323:kari@corp.example")

    assert document["local"]["bare"] == "room-7@vc.example"
    assert document["local"]["raw"] == "sip:Room-7@vc.example"
    assert document["remote"]["user"] == "kari"
    assert document["path"]["raw"] is None


def test_huge_values_are_values() -> None:
    """A megabyte in a parameter is read like any other text."""
    document = read("local_alias=" + "x" * 1_000_000)

    assert len(document["local"]["user"]) == 1_000_000


_TEXT = st.text(st.characters(), max_size=20)


@given(
    kind=st.sampled_from(RequestKind),
    alias=st.none() | _TEXT,
    query=st.text(st.characters(max_codepoint=255), max_size=200),
    mount=_TEXT,
)
def test_no_request_fails(kind: RequestKind, alias: str | None, query: str, mount: str) -> None:
    """Whatever is sent, there is a JSON document to decide about."""
    document = input_document(kind, alias=alias, query=parse_query(query), received_at=AT, mount=mount)

    assert orjson.loads(document)["request_type"] == kind


_NAMES = st.sampled_from(["registered", "remote_port", "protocol", "ms-subnet", "idp_attribute_g", "limit", "q"])


@given(kind=st.sampled_from(RequestKind), query=st.dictionaries(_NAMES, st.lists(st.text(max_size=30), max_size=3)))
def test_no_value_of_a_known_parameter_fails(kind: RequestKind, query: dict[str, list[str]]) -> None:
    """A typed parameter takes any text; what has no meaning is null."""
    call = read_request(kind, alias=None, query=query, received_at=AT, mount="")["call"]

    assert isinstance(call, dict)
    assert call.get("registered") in (True, False, None)
