"""The parameters Pexip sends: name on the wire, our name, type, and in which requests."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policy_server.model.secrets import names_secret
from policy_server.pexip.kinds import RequestKind


class FieldType(StrEnum):
    """How the text of a parameter is read; TEXT keeps it, ENUM drops quotes around it."""

    TEXT = "text"
    ENUM = "enum"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter.

    ``name`` is what rules call it: lower case, underscores. ``kinds`` are the
    requests that carry it. ``documented`` is False for what was only seen on
    the wire: it is read when it is there and not expected otherwise.
    """

    wire: str
    name: str
    type: FieldType
    kinds: frozenset[RequestKind]
    documented: bool = True
    secret: bool = False


_LETTERS: Final = {
    "S": RequestKind.SERVICE,
    "P": RequestKind.PARTICIPANT,
    "M": RequestKind.MEDIA_LOCATION,
    "A": RequestKind.AVATAR,
    "D": RequestKind.DIRECTORY,
    "R": RequestKind.REGISTRATION,
}

_T, _E, _B, _I, _L = FieldType.TEXT, FieldType.ENUM, FieldType.BOOLEAN, FieldType.INTEGER, FieldType.LIST

_DOCUMENTED: Final = (
    ("auth_type", _E, "R"),
    ("bandwidth", _I, "SPMA"),
    ("breakout_uuid", _T, "SP"),
    ("call_direction", _E, "SPMA"),
    ("call_tag", _T, "SPMAD"),
    ("call_uuid", _T, "P"),
    ("display_count", _I, "SP"),
    ("has_authenticated_display_name", _B, "SPMA"),
    ("height", _I, "A"),
    ("idp_uuid", _T, "SPMA"),
    ("limit", _I, "D"),
    ("local_alias", _T, "SPMA"),
    ("location", _T, "SPMADR"),
    ("ms-subnet", _L, "SPMA"),
    ("node_ip", _T, "SPMADR"),
    ("p_Asserted-Identity", _L, "SPMA"),
    ("participant_type", _E, "P"),
    ("participant_uuid", _T, "P"),
    ("preauthenticated_role", _E, "P"),
    ("previous_service_name", _T, "SPM"),
    ("protocol", _E, "SPMAR"),
    ("proxy_node_address", _T, "MA"),
    ("proxy_node_location", _T, "MA"),
    ("pseudo_version_id", _T, "SPMADR"),
    ("q", _T, "D"),
    ("receive_from_audio_mix", _T, "P"),
    ("registered", _B, "SPMA"),
    ("registration_alias", _T, "D"),
    ("remote_address", _T, "SPMAR"),
    ("remote_alias", _T, "SPMA"),
    ("remote_display_name", _T, "SPMA"),
    ("remote_port", _I, "SPMA"),
    ("role", _E, "A"),
    ("send_to_audio_mixes_mix_name", _T, "P"),
    ("send_to_audio_mixes_prominent", _B, "P"),
    ("service_name", _T, "SPMA"),
    ("service_tag", _T, "SPMA"),
    ("supports_direct_media", _B, "SPMA"),
    ("teams_tenant_id", _T, "SPMA"),
    ("telehealth_request_id", _T, "SPM"),
    ("third_party_passcode", _T, "S"),
    ("trigger", _E, "SPMA"),
    ("unique_service_name", _T, "SPMA"),
    ("vendor", _T, "SPMA"),
    ("version_id", _T, "SPMADR"),
    ("width", _I, "A"),
)

_SEEN: Final = (
    ("bypass_lock", _B, "P"),
    ("Call-ID", _T, "SPM"),
    ("can_receive_personal_mix", _B, "P"),
    ("disable_overlay_text", _B, "P"),
    ("encryption", _E, "SPM"),
    ("layout_group", _T, "P"),
    ("prefers_multiscreen_mix", _B, "P"),
    ("receive_from_video_mix~mix_name", _T, "P"),
    ("request_id", _T, "SPM"),
    ("rx_presentation_policy", _E, "P"),
    ("spotlight", _I, "P"),
    ("third_party_passcode", _T, "P"),
    ("wants_presentation_in_mix", _B, "P"),
)

IDP_PREFIX: Final = "idp_attribute_"
"""Starts the name of every custom identity provider attribute."""

_HEADERS: Final = frozenset({"ms_subnet", "p_asserted_identity", "request_id", "call_id"})
_ALSO: Final = {"registered_alias": "registration_alias"}


def _field(wire: str, type_: FieldType, letters: str, *, documented: bool) -> Field:
    name = wire.lower().replace("-", "_")
    kinds = frozenset(_LETTERS[letter] for letter in letters)
    return Field(wire, name, type_, kinds, documented=documented, secret=names_secret(name))


FIELDS: Final = (
    *(_field(*row, documented=True) for row in _DOCUMENTED),
    *(_field(*row, documented=False) for row in _SEEN),
)
"""Every parameter we know, documented ones first."""


def fields_of(kind: RequestKind) -> dict[str, Field]:
    """Return the parameters of one kind of request by our name for them."""
    return {field.name: field for field in FIELDS if kind in field.kinds}


def field_name(wire: str) -> str:
    """Return our name of a parameter; header-derived ones come in many spellings."""
    name = wire.lower().replace("-", "_")
    return name if name in _HEADERS else _ALSO.get(wire, wire)
