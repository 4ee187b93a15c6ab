"""Makes the requests an Infinity node makes, and says what it does with the answer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode

import orjson

from policy_server.model.values import Json, JsonObject
from policy_server.pexip.fields import IDP_PREFIX, field_name, fields_of
from policy_server.pexip.kinds import RequestKind


class Preset(StrEnum):
    """Which kind of device is calling; LEGACY is a node of version 16."""

    SIP = "sip"
    WEBRTC = "webrtc"
    H323 = "h323"
    MSSIP = "mssip"
    LEGACY = "legacy"


PATHS: Final[Mapping[RequestKind, str]] = {
    RequestKind.SERVICE: "/policy/v1/service/configuration",
    RequestKind.PARTICIPANT: "/policy/v1/participant/properties",
    RequestKind.MEDIA_LOCATION: "/policy/v1/participant/location",
    RequestKind.AVATAR: "/policy/v1/participant/avatar/",
    RequestKind.DIRECTORY: "/policy/v1/registrations",
    RequestKind.REGISTRATION: "/policy/v1/registrations/",
}
"""Where each kind of request goes; those that end in a slash are followed by an alias."""

_COMMON: Final[Mapping[str, str]] = {
    "bandwidth": "0",
    "call_direction": "dial_in",
    "call_tag": "",
    "has_authenticated_display_name": "False",
    "idp_uuid": "",
    "location": "Oslo",
    "node_ip": "192.0.2.10",
    "protocol": "sip",
    "pseudo_version_id": "83067.0.0",
    "registered": "False",
    "remote_address": "198.51.100.7",
    "remote_display_name": "Kari",
    "remote_port": "50112",
    "supports_direct_media": "False",
    "teams_tenant_id": "",
    "version_id": "39",
}
_BY_KIND: Final[Mapping[RequestKind, Mapping[str, str]]] = {
    RequestKind.SERVICE: {},
    RequestKind.PARTICIPANT: {
        "call_uuid": "7b0c2c1e-5d0e-4c57-9a52-3f9f6d0f8a11",
        "participant_type": "standard",
        "participant_uuid": "0d6f9c1a-8f65-4b39-b1a4-6c0f7a4a2b90",
        "preauthenticated_role": "",
        "receive_from_audio_mix": "main",
        "send_to_audio_mixes_mix_name": "main",
        "send_to_audio_mixes_prominent": "False",
    },
    RequestKind.MEDIA_LOCATION: {},
    RequestKind.AVATAR: {"role": "guest", "width": "100", "height": "100"},
    RequestKind.DIRECTORY: {"q": "", "limit": "10", "registration_alias": "kari@example.com"},
    RequestKind.REGISTRATION: {"auth_type": "credentials"},
}
_BY_PRESET: Final[Mapping[Preset, Mapping[str, str]]] = {
    Preset.SIP: {
        "trigger": "invite",
        "remote_alias": "sip:kari@corp.example",
        "local_alias": "sip:room-7@vc.example",
        "vendor": "Cisco/CE 11.5",
        "encryption": "On",
    },
    Preset.WEBRTC: {
        "protocol": "api",
        "trigger": "web",
        "remote_alias": "Kari",
        "local_alias": "room-7",
        "vendor": "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0 Webapp3/10.0",
    },
    Preset.H323: {
        "protocol": "h323",
        "trigger": "setup",
        "remote_alias": "h323:kari@corp.example",
        "local_alias": "room-7",
        "vendor": "Polycom RealPresence",
    },
    Preset.MSSIP: {
        "protocol": "mssip",
        "trigger": "invite",
        "remote_alias": "sip:kari@corp.example",
        "local_alias": "sip:room-7@vc.example;gruu;opaque=app:conf:focus:id:1",
        "vendor": "UCCAPI/16.0 OC/16.0",
        "ms-subnet": "198.51.100.0",
        "p_Asserted-Identity": '"Kari" <sip:kari@corp.example>',
    },
    Preset.LEGACY: {
        "trigger": "invite",
        "remote_alias": "sip:kari@corp.example",
        "local_alias": "sip:room-7@vc.example",
        "vendor": "TANDBERG/528",
        "version_id": "16",
        "pseudo_version_id": "36402.0.0",
    },
}
_LEGACY: Final = frozenset(
    {*_COMMON, "vendor", "trigger", "local_alias", "remote_alias"}
    - {"call_tag", "has_authenticated_display_name", "idp_uuid", "supports_direct_media", "teams_tenant_id"}
)
_SERVICE: Final = {"service_name": "Room 7", "service_tag": "", "unique_service_name": "Room 7"}
_ALIASES: Final = {RequestKind.AVATAR: "kari@example.com", RequestKind.REGISTRATION: "kari@example.com"}


def make_target(kind: RequestKind, preset: Preset, given: Mapping[str, str], *, alias: str | None = None) -> str:
    """Return path and query of a request; ``given`` overrides and adds, an alias of the path is ``alias``."""
    path = PATHS[kind]
    if path.endswith("/"):
        path += quote(alias or _ALIASES[kind], safe="")
    return f"{path}?{urlencode(_parameters(kind, preset) | dict(given))}"


def _parameters(kind: RequestKind, preset: Preset) -> dict[str, str]:
    service = _SERVICE if kind is not RequestKind.SERVICE else {}
    values = {**_COMMON, **service, **_BY_KIND[kind], **_BY_PRESET[preset]}
    sent = fields_of(kind)
    if kind is RequestKind.REGISTRATION and values["protocol"] not in {"sip", "h323", "webrtc"}:
        values["protocol"] = "webrtc" if preset is Preset.WEBRTC else "sip"
    return {
        name: value
        for name, value in values.items()
        if field_name(name) in sent and (preset is not Preset.LEGACY or name in _LEGACY or name in _BY_KIND[kind])
    }


def unknown(kind: RequestKind, given: Mapping[str, str]) -> list[str]:
    """Return the names that such a request is not known to carry."""
    known = fields_of(kind)
    return [name for name in given if field_name(name) not in known and not name.startswith(IDP_PREFIX)]


def outcome(kind: RequestKind, status: int, content_type: str, body: bytes) -> str:
    """Say in one sentence what the node does with an answer."""
    if kind is RequestKind.AVATAR:
        return "shows this picture" if status == 200 and content_type == "image/jpeg" else "draws a placeholder"
    document = _document(body) if status == 200 else None
    if document is None or document.get("status") != "success":
        return _OWN[kind]
    return _acts(kind, document)


def _document(body: bytes) -> JsonObject | None:
    try:
        document: Json = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


_OWN: Final[Mapping[RequestKind, str]] = {
    RequestKind.SERVICE: "looks the alias up in its own configuration",
    RequestKind.PARTICIPANT: "leaves the participant as it is",
    RequestKind.MEDIA_LOCATION: "chooses the media location itself",
    RequestKind.DIRECTORY: "shows its own registrations only",
    RequestKind.REGISTRATION: "checks its own device database",
}


def _acts(kind: RequestKind, document: JsonObject) -> str:
    result, action = document.get("result"), document.get("action")
    if kind is RequestKind.DIRECTORY:
        count = len(result) if isinstance(result, list) else 0
        return f"lists {count} entries" + ("" if document.get("ignore_local") else ", and its own")
    values = result if isinstance(result, dict) else {}
    if action == "redirect" and kind is RequestKind.SERVICE and "new_alias" in values:
        return f"sends the caller to {values['new_alias']}"
    if action == "reject" and kind is not RequestKind.MEDIA_LOCATION and not set(values) - {"reject_reason"}:
        reason = values.get("reject_reason")
        return f"refuses: {reason}" if reason else "refuses"
    return _uses(kind, values) if values else _OWN[kind]


def _uses(kind: RequestKind, values: JsonObject) -> str:
    if kind is RequestKind.SERVICE:
        return f"connects to {values.get('name')} ({values.get('service_type')})"
    if kind is RequestKind.MEDIA_LOCATION:
        return f"sends media through {values.get('location')}"
    if kind is RequestKind.REGISTRATION:
        return "asks the device for these credentials"
    return f"changes {', '.join(values)}"
