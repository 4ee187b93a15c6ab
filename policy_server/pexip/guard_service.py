"""Checks a service configuration: fields of its type, PINs, layouts, names."""

import re
from collections.abc import Iterator
from typing import Final

from policy_server.model.values import Json, JsonObject
from policy_server.pexip.checks import Shape, Violation, error, quote, text, warning
from policy_server.pexip.services import ALL_FIELDS, MANAGEMENT_NAMES, SERVICE_TYPES, SHAPES

_PIN: Final = re.compile(r"[0-9]{4,20}|[0-9]{3,19}#")
_REDIRECT: Final = Shape({"new_alias": text(empty=False)}, required=("new_alias",))
_PIN_TYPES: Final = frozenset({"conference", "lecture", "media_playback"})
_LAYOUT_FIELDS: Final = ("view", "host_view", "guest_view")


def _complete(result: JsonObject) -> bool:
    """Tell whether Pexip would take this for a service, whatever the action says."""
    shape = SHAPES.get(str(result.get("service_type")))
    return shape is not None and all(name in result for name in shape.required)


def _pins(result: JsonObject) -> Iterator[Violation]:
    """Check the rules of PINs; messages never show one."""
    pin, guest_pin = result.get("pin"), result.get("guest_pin")
    for name, value in (("pin", pin), ("guest_pin", guest_pin)):
        if isinstance(value, str) and value and not _PIN.fullmatch(value):
            yield error("P04", f"result.{name}", "must be 4 to 20 digits, the last may be #")
    if result.get("allow_guests") is True and not pin:
        yield error("P04", "result.pin", "is needed when allow_guests is true")
    if not guest_pin or not isinstance(guest_pin, str):
        return
    if result.get("allow_guests") is not True:
        yield error("P04", "result.guest_pin", "is only allowed when allow_guests is true")
    if not pin or not isinstance(pin, str):
        return
    if pin == guest_pin:
        yield error("P04", "result.guest_pin", "must differ from pin")
    if pin.endswith("#") != guest_pin.endswith("#"):
        yield error("P04", "result.guest_pin", "if one PIN ends in #, both must")
    elif len(pin) != len(guest_pin) and not pin.endswith("#"):
        yield error("P04", "result.guest_pin", "must be as long as pin, or both must end in #")


def _layouts(result: JsonObject, service_type: str) -> Iterator[Violation]:
    for name in _LAYOUT_FIELDS:
        layout = result.get(name)
        if layout in ("teams", "teams_focus") and service_type != "gateway":
            yield error("P05", f"result.{name}", f"{quote(layout)} is a layout for gateway calls to Teams")
        if layout == "five_mains_seven_pips" and service_type == "lecture":
            yield error("P05", f"result.{name}", "adaptive composition is not available in a lecture")


def _breakout(result: JsonObject) -> Iterator[Violation]:
    if result.get("breakout") is True:
        for name in ("breakout_uuid", "breakout_name"):
            if name not in result:
                yield error("P03", f"result.{name}", "is required for a breakout room")
        if result.get("breakout_rooms") is True:
            yield error("P05", "result.breakout_rooms", "must be false in a breakout room")
    if result.get("breakout_rooms") is True and result.get("direct_media", "never") != "never":
        yield error("P05", "result.direct_media", "does not go with breakout rooms")


def _unknown(result: JsonObject, service_type: str) -> Iterator[Violation]:
    known = SHAPES[service_type].fields
    for name in result:
        if name in known:
            continue
        if name in MANAGEMENT_NAMES:
            yield warning(
                "P08", f"result.{name}", f"is the Management API's word; policy wants {MANAGEMENT_NAMES[name]}"
            )
        elif name in ALL_FIELDS:
            yield warning("P08", f"result.{name}", f"is not a field of {service_type}")
        else:
            yield warning("P08", f"result.{name}", "is not a field Pexip knows")


def _names(result: JsonObject, themes: frozenset[str] | None, groups: frozenset[str] | None) -> Iterator[Violation]:
    checks = (
        ("ivr_theme_name", themes, "theme"),
        ("host_identity_provider_group", groups, "identity provider group"),
        ("guest_identity_provider_group", groups, "identity provider group"),
    )
    for field, names, what in checks:
        value = result.get(field)
        if names is not None and isinstance(value, str) and value and value not in names:
            yield error("P06", f"result.{field}", f"{quote(value)} is not a configured {what}")


def _configuration(result: JsonObject) -> Iterator[Violation]:
    service_type = result.get("service_type")
    if not isinstance(service_type, str) or service_type not in SERVICE_TYPES:
        code = "P05" if "service_type" in result else "P03"
        yield error(code, "result.service_type", f"must be one of {', '.join(SERVICE_TYPES)}")
        for name in ("name", "service_tag"):
            if name not in result:
                yield error(
                    "P03", f"result.{name}", "is required; external policy cannot change single fields of a service"
                )
        return
    yield from (v for v in SHAPES[service_type].check("result", result, missing="P03") if v.code != "P08")
    if service_type == "media_playback" and not ({"media_playlist_name", "media_playlist"} & set(result)):
        yield error("P03", "result.media_playlist_name", "is required and missing")
    yield from _unknown(result, service_type)
    yield from _layouts(result, service_type)
    yield from _breakout(result)
    if service_type in _PIN_TYPES:
        yield from _pins(result)


def check_service(
    result: JsonObject, action: Json, themes: frozenset[str] | None, groups: frozenset[str] | None
) -> Iterator[Violation]:
    """Yield what Pexip would not like about the ``result`` of a service answer."""
    if action in ("reject", "redirect") and _complete(result):
        yield error("P02", "result", f"is a complete service: Pexip would admit the call in spite of {action}")
    elif action == "reject" and result:
        yield error("P02", "result", "a rejection must carry no result")
    elif action == "redirect":
        yield from _REDIRECT.check("result", result)
    elif result:
        yield from _configuration(result)
        yield from _names(result, themes, groups)
