"""What Pexip accepts as a service."""

import pytest

from policy_server.model.values import Json
from policy_server.pexip.checks import Severity
from policy_server.pexip.guard import Facts, check
from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.services import LAYOUTS, SERVICE_TYPES, SHAPES

CONFERENCE: dict[str, Json] = {"service_type": "conference", "name": "Room", "service_tag": "t"}
LECTURE: dict[str, Json] = {**CONFERENCE, "service_type": "lecture"}
GATEWAY: dict[str, Json] = {
    "service_type": "gateway",
    "name": "teams:5d0c",
    "service_tag": "teams",
    "local_alias": "sip:a@corp.example",
    "remote_alias": "123456789012",
    "outgoing_protocol": "teams",
}
RECEPTION: dict[str, Json] = {**CONFERENCE, "service_type": "two_stage_dialing"}
PLAYBACK: dict[str, Json] = {**CONFERENCE, "service_type": "media_playback", "media_playlist_name": "Welcome"}
TEST_CALL: dict[str, Json] = {**CONFERENCE, "service_type": "test_call"}
DIALED: dict[str, Json] = {"local_alias": "a", "protocol": "sip", "remote_alias": "b", "role": "guest"}


def found(result: Json, action: str = "continue", facts: Facts | None = None) -> list[tuple[str, str, str]]:
    """Return code, field and severity of everything that is wrong."""
    decision: dict[str, Json] = {"action": action, "result": result}
    violations = check(RequestKind.SERVICE, decision, facts=facts or Facts())
    return [(violation.code, violation.field, str(violation.severity)) for violation in violations]


def failed(result: Json, action: str = "continue") -> set[tuple[str, str]]:
    """Return code and field of what costs the answer."""
    return {
        (code, field.removeprefix("result.")) for code, field, severity in found(result, action) if severity == "error"
    }


@pytest.mark.parametrize("result", [CONFERENCE, LECTURE, GATEWAY, RECEPTION, PLAYBACK, TEST_CALL])
def test_every_service_type_can_be_answered(result: dict[str, Json]) -> None:
    """The required fields alone are a complete service."""
    assert found(result) == []


def test_the_examples_of_the_documentation_are_accepted() -> None:
    """A booked room with two PINs and a gateway call to Teams."""
    booked = {
        **CONFERENCE,
        "description": "Budget review",
        "pin": "480215",
        "guest_pin": "913377",
        "allow_guests": True,
        "view": "five_mains_seven_pips",
        "enable_overlay_text": True,
        "primary_owner_email_address": "kari@corp.example",
        "participant_limit": 25,
    }
    teams = {
        **GATEWAY,
        "local_display_name": "Boardroom",
        "called_device_type": "teams_conference",
        "teams_proxy_name": "Teams Connector EU",
        "outgoing_location_name": "Bergen",
        "call_type": "video",
        "view": "teams",
        "treat_as_trusted": True,
    }

    assert found(booked) == []
    assert found(teams) == []


@pytest.mark.parametrize(
    ("result", "code", "field"),
    [
        ({"view": "teams"}, "P03", "name"),
        ({"view": "teams"}, "P03", "service_tag"),
        ({"view": "teams"}, "P03", "service_type"),
        ({**CONFERENCE, "service_type": "vmr"}, "P05", "service_type"),
        ({**CONFERENCE, "service_type": None}, "P05", "service_type"),
        ({"service_type": "conference", "name": "x"}, "P03", "service_tag"),
        ({**CONFERENCE, "name": ""}, "P05", "name"),
        ({k: v for k, v in GATEWAY.items() if k != "remote_alias"}, "P03", "remote_alias"),
        ({k: v for k, v in GATEWAY.items() if k != "outgoing_protocol"}, "P03", "outgoing_protocol"),
        ({k: v for k, v in PLAYBACK.items() if k != "media_playlist_name"}, "P03", "media_playlist_name"),
        ({**CONFERENCE, "breakout": True}, "P03", "breakout_uuid"),
    ],
)
def test_a_service_must_be_complete(result: dict[str, Json], code: str, field: str) -> None:
    """External policy cannot change single fields: what is missing costs the answer."""
    assert (code, field) in failed(result)


@pytest.mark.parametrize("action", ["reject", "redirect"])
@pytest.mark.parametrize("result", [CONFERENCE, GATEWAY, PLAYBACK])
def test_a_refusal_with_a_service_would_be_admitted(action: str, result: dict[str, Json]) -> None:
    """Pexip believes the result, not the action."""
    assert failed(result, action) == {("P02", "result")}


def test_a_rejection_carries_nothing() -> None:
    """Even a part of a service does not belong in a rejection."""
    assert failed({"name": "x"}, "reject") == {("P02", "result")}
    assert failed({}, "reject") == set()


def test_a_redirect_needs_somewhere_to_go() -> None:
    """Without a new alias there is no redirect."""
    assert failed({"new_alias": "sip:a@b.example"}, "redirect") == set()
    assert failed({}, "redirect") == {("P05", "new_alias")}
    assert failed({"new_alias": ""}, "redirect") == {("P05", "new_alias")}


@pytest.mark.parametrize(
    ("pins", "field"),
    [
        ({"allow_guests": True}, "pin"),
        ({"allow_guests": True, "pin": ""}, "pin"),
        ({"pin": "123"}, "pin"),
        ({"pin": "1" * 21}, "pin"),
        ({"pin": "12a4"}, "pin"),
        ({"pin": "12#4"}, "pin"),
        ({"pin": "##"}, "pin"),
        ({"pin": "１２３４"}, "pin"),
        ({"pin": "1234", "guest_pin": "5678"}, "guest_pin"),
        ({"pin": "1234", "guest_pin": "1234", "allow_guests": True}, "guest_pin"),
        ({"pin": "1234", "guest_pin": "56789", "allow_guests": True}, "guest_pin"),
        ({"pin": "1234#", "guest_pin": "5678", "allow_guests": True}, "guest_pin"),
        ({"pin": "1234", "guest_pin": "567#", "allow_guests": True}, "guest_pin"),
    ],
)
def test_pins_that_lose_the_call(pins: dict[str, Json], field: str) -> None:
    """Length, digits, the final # and who needs which PIN."""
    assert ("P04", field) in failed({**CONFERENCE, **pins})


@pytest.mark.parametrize(
    "pins",
    [
        {"pin": "2931"},
        {"pin": "293#"},
        {"pin": "1234", "allow_guests": True},
        {"pin": "1234", "guest_pin": "5678", "allow_guests": True},
        {"pin": "1234#", "guest_pin": "567890#", "allow_guests": True},
        {"pin": "1" * 20},
    ],
)
def test_pins_that_work(pins: dict[str, Json]) -> None:
    """Four to twenty digits, alone or in a pair."""
    assert failed({**CONFERENCE, **pins}) == set()


def test_no_message_shows_a_pin() -> None:
    """What is wrong with a PIN is logged; the PIN is not."""
    decision: dict[str, Json] = {"result": {**CONFERENCE, "pin": "98765x", "guest_pin": "98765y", "allow_guests": True}}

    assert not any("98765" in str(violation) for violation in check(RequestKind.SERVICE, decision))


@pytest.mark.parametrize(
    ("base", "field", "value"),
    [
        (CONFERENCE, "allow_guests", "True"),
        (CONFERENCE, "call_type", "auto"),
        (CONFERENCE, "crypto_mode", "sometimes"),
        (CONFERENCE, "direct_media", "yes"),
        (CONFERENCE, "direct_media_notification_duration", 31),
        (CONFERENCE, "enable_chat", True),
        (CONFERENCE, "max_callrate_in", 4096),
        (CONFERENCE, "max_callrate_in", "4096000"),
        (CONFERENCE, "max_callrate_out", True),
        (CONFERENCE, "max_pixels_per_second", "uhd"),
        (CONFERENCE, "participant_limit", -1),
        (CONFERENCE, "participant_limit", 10.5),
        (CONFERENCE, "view", "ac"),
        (CONFERENCE, "view", "1:7"),
        (CONFERENCE, "view", "teams"),
        (CONFERENCE, "non_idp_participants", "allow"),
        (CONFERENCE, "breakout_uuids", "a"),
        (CONFERENCE, "description", None),
        (LECTURE, "guests_can_see_guests", "yes"),
        (LECTURE, "host_view", "five_mains_seven_pips"),
        (LECTURE, "force_presenter_into_main", 1),
        (GATEWAY, "outgoing_protocol", "webrtc"),
        (GATEWAY, "called_device_type", "phone"),
        (GATEWAY, "teams_fit_to_frame", True),
        (GATEWAY, "denoise_audio", "yes"),
        (RECEPTION, "two_stage_dial_type", "zoom"),
        (PLAYBACK, "on_completion", {}),
        (PLAYBACK, "media_playlist_name", ""),
        (TEST_CALL, "max_callrate_in", 9_000_000),
    ],
)
def test_a_value_of_the_wrong_kind_costs_the_answer(base: dict[str, Json], field: str, value: Json) -> None:
    """Types, words and ranges, field by field."""
    assert ("P05", field) in failed({**base, field: value})


@pytest.mark.parametrize(
    ("base", "field", "value"),
    [
        (CONFERENCE, "crypto_mode", None),
        (CONFERENCE, "max_pixels_per_second", None),
        (CONFERENCE, "max_callrate_in", 128_000),
        (CONFERENCE, "max_callrate_in", 8_192_000),
        (GATEWAY, "call_type", "auto"),
        (PLAYBACK, "on_completion", {"disconnect": True}),
        (PLAYBACK, "on_completion", {"transfer": {"conference": "lobby"}}),
        (PLAYBACK, "on_completion", '{"disconnect": true}'),
        (CONFERENCE, "automatic_participants", [DIALED]),
    ],
)
def test_a_value_in_range_is_sent(base: dict[str, Json], field: str, value: Json) -> None:
    """The edges of what is allowed, and null where it has a meaning."""
    assert found({**base, field: value}) == []


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({**DIALED, "role": "host"}, "automatic_participants.0.role"),
        ({**DIALED, "protocol": "webrtc"}, "automatic_participants.0.protocol"),
        ({"local_alias": "a"}, "automatic_participants.0.remote_alias"),
        ({**DIALED, "streaming": "yes"}, "automatic_participants.0.streaming"),
        ("a", "automatic_participants.0"),
    ],
)
def test_participants_to_dial_must_be_complete(entry: Json, where: str) -> None:
    """Each of the participants to dial is checked like the service itself."""
    assert ("P05", where) in failed({**CONFERENCE, "automatic_participants": [entry]})


def test_long_texts_cost_the_answer() -> None:
    """More than 250 characters, or 100 of a mail address, are too many anywhere."""
    assert failed({**CONFERENCE, "description": "x" * 250}) == set()
    assert failed({**CONFERENCE, "description": "x" * 251}) == {("P07", "description")}
    assert failed({**CONFERENCE, "primary_owner_email_address": "x" * 101}) == {("P07", "primary_owner_email_address")}
    assert failed({**CONFERENCE, "surprise": {"deep": ["x" * 251]}}) == {("P07", "surprise.deep.0")}


@pytest.mark.parametrize("layout", sorted(LAYOUTS - {"teams", "teams_focus"}))
def test_agreed_layouts_are_known(layout: str) -> None:
    """All sixteen agreed layouts but the two for Teams are layouts of a conference."""
    assert found({**CONFERENCE, "view": layout}) == []


def test_an_unknown_layout_is_sent_with_a_warning() -> None:
    """A newer Pexip may know it."""
    assert found({**CONFERENCE, "view": "ten_mains_one_pip"}) == [("P05", "result.view", "warning")]


@pytest.mark.parametrize(
    ("base", "field"),
    [(GATEWAY, "sip_proxy"), (CONFERENCE, "ivr_theme"), (CONFERENCE, "h323_gatekeeper_name"), (CONFERENCE, "nonsense")],
)
def test_unknown_fields_are_warnings(base: dict[str, Json], field: str) -> None:
    """The Management API's words, fields of other types and inventions are reported."""
    assert found({**base, field: "x"}) == [("P08", f"result.{field}", "warning")]


def test_the_management_word_is_translated() -> None:
    """Who writes the Management API's word is told the right one."""
    violations = check(RequestKind.SERVICE, {"result": {**GATEWAY, "sip_proxy": "x"}})

    assert [v.message for v in violations] == ["is the Management API's word; policy wants sip_proxy_name"]


def test_names_are_compared_when_they_are_known() -> None:
    """With a list of themes and groups, another name costs the answer."""
    facts = Facts(themes=frozenset({"Blue"}), idp_groups=frozenset({"Staff"}))
    good = {**CONFERENCE, "ivr_theme_name": "Blue", "host_identity_provider_group": "Staff"}
    bad = {**CONFERENCE, "ivr_theme_name": "blue", "guest_identity_provider_group": "staff"}

    assert found(good, facts=facts) == []
    assert {code for code, _, _ in found(bad, facts=facts)} == {"P06"}
    assert found(bad) == []


def test_a_redirect_without_sip_is_a_warning() -> None:
    """Other protocols do not know redirects."""
    assert found({"new_alias": "a"}, "redirect", Facts(protocol="webrtc")) == [("P10", "action", "warning")]
    assert found({"new_alias": "a"}, "redirect", Facts(protocol="sip")) == []


@pytest.mark.parametrize("direction", ["dial_out", "non_dial"])
def test_an_opinion_about_an_outgoing_call_is_a_warning(direction: str) -> None:
    """Outgoing calls and probes should be left alone."""
    assert found(CONFERENCE, facts=Facts(call_direction=direction)) == [("P10", "action", "warning")]
    assert found({}, facts=Facts(call_direction=direction)) == []


def test_every_service_type_has_its_documented_fields() -> None:
    """The table of the specification, counted column by column; breakouts and old spellings come on top."""
    on_top = {name for name in SHAPES["conference"].fields if name.startswith(("breakout_", "end_"))}
    on_top = (on_top - {"breakout_rooms"}) | {"breakout"}
    counts = {name: len(set(shape.fields) - on_top) for name, shape in SHAPES.items()}

    assert set(counts) == set(SERVICE_TYPES)
    assert counts == {
        "conference": 38 + 1,
        "lecture": 41 + 1,
        "gateway": 37,
        "two_stage_dialing": 21 + 1,
        "media_playback": 16 + 2,
        "test_call": 11 + 1,
    }


@pytest.mark.parametrize(
    "result", [[], "x", 5, True, {"service_type": []}, {"service_type": {}, "view": [], "pin": {}}]
)
def test_nonsense_is_refused_and_does_not_fail(result: Json) -> None:
    """Whatever a policy answers can be judged."""
    assert any(severity == Severity.ERROR for _, _, severity in found(result))
