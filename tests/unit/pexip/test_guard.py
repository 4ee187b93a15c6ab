"""What Pexip accepts as an answer to the other five kinds of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.model.values import Json
from policy_server.pexip.checks import Violation
from policy_server.pexip.guard import Facts, check, errors
from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.services import SERVICE_TYPES, SHAPES

P, M, A = RequestKind.PARTICIPANT, RequestKind.MEDIA_LOCATION, RequestKind.AVATAR
D, R, S = RequestKind.DIRECTORY, RequestKind.REGISTRATION, RequestKind.SERVICE

ENTRY: dict[str, Json] = {"username": "", "alias": "budget@vc.example", "description": "Budget room"}


def failed(kind: RequestKind, decision: dict[str, Json], facts: Facts | None = None) -> set[tuple[str, str]]:
    """Return code and field of what costs the answer."""
    return {(v.code, v.field) for v in errors(check(kind, decision, facts=facts or Facts()))}


@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        (S, {"action": "continue"}),
        (S, {"action": "reject", "reason": "blocked user agent"}),
        (P, {"action": "continue", "result": {}}),
        (P, {"action": "continue", "result": {"preauthenticated_role": None, "spotlight": 99}}),
        (P, {"result": {"send_to_audio_mixes": [{"mix_name": "main.fr", "prominent": True}]}}),
        (P, {"result": {"rx_presentation_policy": "DENY", "bypass_lock": True, "remote_display_name": "Nils (L3)"}}),
        (P, {"action": "reject", "result": {"reject_reason": "Clearance L2 or higher is required"}}),
        (P, {"action": "reject"}),
        (M, {"result": {"location": "Bergen", "overflow_locations": ["Oslo", "Frankfurt"]}, "matched": "10.20.0.0/16"}),
        (M, {"result": {"location": "Bergen", "primary_overflow_location": "Oslo"}}),
        (D, {"result": [ENTRY], "ignore_local": False}),
        (D, {"result": [], "ignore_local": True}),
        (R, {"result": {"username": "u", "password": "p"}}),
        (R, {"action": "continue", "result": {}}),
        (R, {"action": "reject", "result": {}}),
        (A, {"result": {"image": "aGVsbG8="}}),
        (S, {"status": "success", "action": "continue"}),
    ],
)
def test_documented_answers_are_accepted(kind: RequestKind, decision: dict[str, Json]) -> None:
    """Every form the specification shows is sent without a word."""
    assert check(kind, decision) == []


@pytest.mark.parametrize(
    ("kind", "decision", "code", "field"),
    [
        (S, {"status": "fail", "action": "reject"}, "P01", "status"),
        (S, {"action": "admit"}, "P05", "action"),
        (S, {"action": ["reject"]}, "P05", "action"),
        (P, {"action": "redirect"}, "P05", "action"),
        (R, {"action": "redirect", "result": {}}, "P05", "action"),
        (M, {"action": "reject", "result": {"location": "x"}}, "P05", "action"),
        (S, {"action": "reject", "reason": "x" * 251}, "P07", "reason"),
        (P, {"result": []}, "P05", "result"),
        (P, {"result": {"role": "chair"}}, "P11", "result.role"),
        (P, {"result": {"display_name": "x"}}, "P11", "result.display_name"),
        (P, {"action": "reject", "result": {"bypass_lock": True}}, "P11", "result.bypass_lock"),
        (P, {"result": {"preauthenticated_role": "host"}}, "P05", "result.preauthenticated_role"),
        (P, {"result": {"rx_presentation_policy": "deny"}}, "P05", "result.rx_presentation_policy"),
        (P, {"result": {"spotlight": "1"}}, "P05", "result.spotlight"),
        (P, {"result": {"send_to_audio_mixes": {"mix_name": "x"}}}, "P05", "result.send_to_audio_mixes"),
        (P, {"result": {"send_to_audio_mixes": [{"prominent": True}]}}, "P05", "result.send_to_audio_mixes.0.mix_name"),
        (P, {"result": {"remote_alias": "x" * 251}}, "P07", "result.remote_alias"),
        (P, {"action": "reject", "result": {"reject_reason": "x" * 251}}, "P07", "result.reject_reason"),
        (M, {}, "P03", "result.location"),
        (M, {"result": {"location": ""}}, "P05", "result.location"),
        (M, {"result": {"location": "x", "overflow_locations": "y"}}, "P05", "result.overflow_locations"),
        (M, {"result": {"location": "x", "overflow_locations": [""]}}, "P05", "result.overflow_locations.0"),
        (D, {}, "P12", "result"),
        (D, {"result": {"contacts": []}}, "P12", "result"),
        (D, {"result": [ENTRY] * 11}, "P12", "result"),
        (D, {"result": [{"alias": "a"}]}, "P05", "result.0.username"),
        (D, {"result": [{**ENTRY, "alias": ""}]}, "P05", "result.0.alias"),
        (D, {"result": [], "ignore_local": "False"}, "P05", "ignore_local"),
        (R, {"action": "reject"}, "P12", "result"),
        (R, {"action": "reject", "result": {"username": "u"}}, "P12", "result"),
        (R, {"result": {"username": "u"}}, "P05", "result"),
        (R, {"result": {"username": "u", "password": 5}}, "P05", "result.password"),
        (A, {}, "P05", "result.image"),
        (A, {"result": {"image": ""}}, "P05", "result.image"),
        (A, {"action": "reject"}, "P05", "action"),
    ],
)
def test_answers_pexip_would_drop(kind: RequestKind, decision: dict[str, Json], code: str, field: str) -> None:
    """Each costs the answer, and says where it is wrong."""
    assert (code, field) in failed(kind, decision)


@pytest.mark.parametrize(
    ("kind", "decision", "code"),
    [
        (P, {"result": {"service_tag": "x"}}, "P08"),
        (P, {"action": "continue", "result": {"reject_reason": "x"}}, "P11"),
        (M, {"result": {"location": "x", "overflow": "y"}}, "P08"),
        (D, {"result": [{**ENTRY, "phone": "1"}]}, "P08"),
        (R, {"result": {"username": "", "password": ""}}, "P12"),
    ],
)
def test_answers_that_are_sent_with_a_warning(kind: RequestKind, decision: dict[str, Json], code: str) -> None:
    """Probably a mistake, but Pexip takes it."""
    violations = check(kind, decision)

    assert [violation.code for violation in violations] == [code]
    assert errors(violations) == []


def test_locations_are_compared_when_they_are_known() -> None:
    """One name that is not configured, or in the wrong case, voids the whole answer."""
    facts = Facts(locations=frozenset({"Bergen", "Oslo"}))

    def unknown(result: dict[str, Json]) -> set[tuple[str, str]]:
        return failed(M, {"result": result}, facts)

    assert unknown({"location": "Bergen", "overflow_locations": ["Oslo"]}) == set()
    assert unknown({"location": "bergen"}) == {("P06", "result.location")}
    assert unknown({"location": "Oslo", "overflow_locations": ["Bergen", "Rome"]}) == {
        ("P06", "result.overflow_locations.1")
    }
    assert unknown({"location": "Oslo", "secondary_overflow_location": "Rome"}) == {
        ("P06", "result.secondary_overflow_location")
    }


def test_no_more_entries_than_asked_for() -> None:
    """The limit is the one of the request."""
    assert failed(D, {"result": [ENTRY] * 3}, Facts(limit=3)) == set()
    assert failed(D, {"result": [ENTRY] * 4}, Facts(limit=3)) == {("P12", "result")}


def test_no_message_shows_a_password() -> None:
    """What is wrong with credentials is logged; they are not."""
    violations = check(R, {"result": {"username": "u", "password": "s3cret" * 60}})

    assert violations
    assert not any("s3cret" in str(violation) for violation in violations)


def test_a_violation_reads_as_one_line() -> None:
    """Code, place, and what is wrong there."""
    assert str(Violation("P05", "result.pin", "must be text")) == "P05 result.pin: must be text"
    assert str(Violation("P05", "", "must be text")) == "P05 must be text"


_FIELDS = st.sampled_from(
    sorted({*SHAPES["conference"].fields, "location", "image", "role", "username", "action", "result"})
)
_VALUES = st.sampled_from([*SERVICE_TYPES, "continue", "reject", "redirect", "teams", "success"])
_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(kind=st.sampled_from(RequestKind), decision=st.dictionaries(_FIELDS, _JSON, max_size=5))
def test_any_object_can_be_judged(kind: RequestKind, decision: dict[str, Json]) -> None:
    """No decision is too strange to be checked."""
    for violation in check(kind, decision):
        assert violation.code in {"P01", "P02", "P03", "P04", "P05", "P06", "P07", "P08", "P10", "P11", "P12"}
