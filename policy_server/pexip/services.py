"""What a service configuration may hold, for each of Pexip's six service types."""

from collections.abc import Iterator, Mapping
from typing import Final

from policy_server.model.values import Json
from policy_server.pexip.checks import (
    Check,
    Shape,
    Violation,
    anything,
    boolean,
    error,
    integer,
    kind_of,
    objects,
    one_of,
    quote,
    text,
    texts,
    warning,
)

SERVICE_TYPES: Final = {
    "conference": "C",
    "lecture": "L",
    "gateway": "G",
    "two_stage_dialing": "V",
    "media_playback": "B",
    "test_call": "T",
}
"""Service type to the letter that stands for it in the table below."""

LAYOUTS: Final = frozenset(
    {
        "one_main_zero_pips",
        "one_main_seven_pips",
        "one_main_twentyone_pips",
        "two_mains_twentyone_pips",
        "one_main_thirtythree_pips",
        "four_mains_zero_pips",
        "nine_mains_zero_pips",
        "sixteen_mains_zero_pips",
        "twentyfive_mains_zero_pips",
        "five_mains_seven_pips",
        "one_main_one_pip",
        "one_main_nine_around",
        "one_main_twelve_around",
        "two_mains_eight_around",
        "teams",
        "teams_focus",
    }
)
"""Layouts all sources agree on; another name is reported and sent."""


def _layout(field: str, value: Json) -> Iterator[Violation]:
    if not isinstance(value, str):
        yield error("P05", field, f"must be text, not {kind_of(value)}")
    elif value == "ac" or ":" in value or not value:
        yield error(
            "P05", field, f"{quote(value)} is a layout of the client API; policy wants names like five_mains_seven_pips"
        )
    elif value not in LAYOUTS:
        yield warning("P05", field, f"{quote(value)} is not a layout we know")


def _on_completion(field: str, value: Json) -> Iterator[Violation]:
    if isinstance(value, str):
        yield from text()(field, value)
    elif not isinstance(value, Mapping) or not ({"disconnect", "transfer"} & set(value)):
        yield error("P05", field, "must be an object with disconnect or transfer")
    else:
        yield from anything(field, value)


def _playlist(field: str, value: Json) -> Iterator[Violation]:
    """Accept a name, or the numeric id that local policy scripts use."""
    if isinstance(value, bool) or not isinstance(value, int):
        yield from text(empty=False)(field, value)


AUTOMATIC_PARTICIPANT: Final = Shape(
    {
        "local_alias": text(),
        "protocol": one_of("sip", "h323", "mssip", "rtmp", "teams", "gms"),
        "remote_alias": text(empty=False),
        "role": one_of("chair", "guest"),
        "call_type": one_of("video", "video-only", "audio"),
        "description": text(),
        "dtmf_sequence": text(),
        "keep_conference_alive": one_of(
            "keep_conference_alive", "keep_conference_alive_if_multiple", "keep_conference_alive_never"
        ),
        "local_display_name": text(),
        "remote_display_name": text(),
        "presentation_url": text(),
        "routing": one_of("manual", "routing_rule"),
        "streaming": boolean,
        "system_location_name": text(),
    },
    required=("local_alias", "protocol", "remote_alias", "role"),
)

_YES_NO: Final = one_of("default", "yes", "no")
_RATE: Final = integer(128_000, 8_192_000, " (bits per second; the Management API counts kbit/s)")
_CALL_TYPE: Final = one_of("video", "video-only", "audio")

_TABLE: Final[tuple[tuple[str, str, Check], ...]] = (
    ("name", "CLGVBT", text(empty=False)),
    ("service_tag", "CLGVBT", text()),
    ("service_type", "CLGVBT", one_of(*SERVICE_TYPES)),
    ("description", "CLGVBT", text()),
    ("allow_guests", "CLB", boolean),
    ("pin", "CLB", text()),
    ("guest_pin", "CLB", text()),
    ("automatic_participants", "CL", objects(AUTOMATIC_PARTICIPANT)),
    ("breakout_rooms", "CL", boolean),
    ("bypass_proxy", "CLGVT", boolean),
    ("call_type", "CLVT", _CALL_TYPE),
    ("call_type", "G", one_of("video", "video-only", "audio", "auto")),
    ("crypto_mode", "CLGVT", one_of("besteffort", "on", "off", nullable=True)),
    ("denoise_enabled", "CL", boolean),
    ("denoise_audio", "G", boolean),
    ("direct_media", "CL", one_of("never", "best_effort", "always")),
    ("direct_media_notification_duration", "CL", integer(0, 30)),
    ("dtmf_sequence", "G", text()),
    ("enable_active_speaker_indication", "CLG", boolean),
    ("enable_chat", "CL", _YES_NO),
    ("enable_overlay_text", "CLG", boolean),
    ("external_participant_avatar_lookup", "G", _YES_NO),
    ("force_presenter_into_main", "L", boolean),
    ("guest_view", "L", _layout),
    ("host_view", "L", _layout),
    ("guests_can_present", "CL", boolean),
    ("guests_can_see_guests", "L", one_of("no_hosts", "always", "never")),
    ("guest_identity_provider_group", "CLB", text()),
    ("host_identity_provider_group", "CLB", text()),
    ("non_idp_participants", "CLB", one_of("disallow_all", "allow_if_trusted")),
    ("ivr_theme_name", "CLGVBT", text()),
    ("live_captions_enabled", "CLG", _YES_NO),
    ("live_captions_language", "CLG", text()),
    ("source_language", "CLG", text()),
    ("local_display_name", "CLGVT", text()),
    ("locked", "CL", boolean),
    ("max_callrate_in", "CLGVBT", _RATE),
    ("max_callrate_out", "CLGVB", _RATE),
    ("max_pixels_per_second", "CLGVBT", one_of("sd", "hd", "fullhd", nullable=True)),
    ("mute_all_guests", "CL", boolean),
    ("participant_limit", "CL", integer(0, 1_000_000)),
    ("pinning_config", "CL", text()),
    ("prefer_ipv6", "CLG", _YES_NO),
    ("primary_owner_email_address", "CL", text(100)),
    ("softmute_enabled", "CL", boolean),
    ("view", "CG", _layout),
    ("local_alias", "G", text(empty=False)),
    ("remote_alias", "G", text(empty=False)),
    ("outgoing_protocol", "G", one_of("h323", "sip", "mssip", "rtmp", "gms", "teams")),
    (
        "called_device_type",
        "G",
        one_of(
            "external",
            "registration",
            "mssip_conference_id",
            "mssip_server",
            "gms_conference",
            "teams_conference",
            "teams_user",
            "telehealth_profile",
        ),
    ),
    ("outgoing_location_name", "G", text()),
    ("h323_gatekeeper_name", "G", text()),
    ("sip_proxy_name", "G", text()),
    ("stun_server_name", "G", text()),
    ("turn_server_name", "G", text()),
    ("mssip_proxy_name", "GV", text()),
    ("teams_proxy_name", "GV", text()),
    ("gms_access_token_name", "GV", text()),
    ("teams_fit_to_frame", "G", one_of("no", "yes")),
    ("transcoding_enabled", "G", boolean),
    ("treat_as_trusted", "G", boolean),
    ("two_stage_dial_type", "V", one_of("regular", "mssip", "gms", "teams")),
    ("match_string", "V", text()),
    ("replace_string", "V", text()),
    ("post_match_string", "V", text()),
    ("post_replace_string", "V", text()),
    ("system_location_name", "V", text()),
    ("media_playlist_name", "B", _playlist),
    ("media_playlist", "B", _playlist),
    ("on_completion", "B", _on_completion),
    # A breakout room is a conference with some more fields.
    ("breakout", "CL", boolean),
    ("breakout_uuid", "CL", text(empty=False)),
    ("breakout_name", "CL", text(empty=False)),
    ("breakout_description", "CL", text()),
    ("breakout_guests_allowed_to_leave", "CL", boolean),
    ("breakout_uuids", "CL", texts),
    ("end_action", "CL", one_of("transfer", "disconnect")),
    ("end_time", "CL", integer(0)),
    # Seen in working answers; Pexip's own sample sends it for conferences too.
    ("local_alias", "CLVBT", text()),
)

_REQUIRED: Final = {
    "G": ("local_alias", "remote_alias", "outgoing_protocol"),
}

SHAPES: Final = {
    service_type: Shape(
        {name: check for name, letters, check in _TABLE if letter in letters},
        required=("name", "service_type", "service_tag", *_REQUIRED.get(letter, ())),
    )
    for service_type, letter in SERVICE_TYPES.items()
}
"""What each service type may and must have."""

ALL_FIELDS: Final = frozenset(name for name, _, _ in _TABLE)
"""Every field of any service type."""

MANAGEMENT_NAMES: Final = {
    "conference_name": "name",
    "tag": "service_tag",
    "ivr_theme": "ivr_theme_name",
    "sip_proxy": "sip_proxy_name",
    "h323_gatekeeper": "h323_gatekeeper_name",
    "mssip_proxy": "mssip_proxy_name",
    "stun_server": "stun_server_name",
    "turn_server": "turn_server_name",
    "teams_proxy": "teams_proxy_name",
    "gms_access_token": "gms_access_token_name",
    "outgoing_location": "outgoing_location_name",
    "system_location": "system_location_name",
    "media_playlist": "media_playlist_name",
    "host_identity_provider": "host_identity_provider_group",
    "guest_identity_provider": "guest_identity_provider_group",
}
"""Spelling of the Management API to spelling of policy."""
