"""Checks a decision against what Pexip accepts, before Pexip sees it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policy_server.model.values import Json, JsonObject
from policy_server.pexip.checks import (
    TEXT_LIMIT,
    Severity,
    Shape,
    Violation,
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
from policy_server.pexip.guard_service import check_service
from policy_server.pexip.kinds import RequestKind


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the request that is answered, and about the Pexip installation.

    ``limit`` is how many directory entries were asked for. The sets of names are
    None when nobody told us; then names are not checked.
    """

    limit: int = 10
    protocol: str | None = None
    call_direction: str | None = None
    locations: frozenset[str] | None = None
    themes: frozenset[str] | None = None
    idp_groups: frozenset[str] | None = None


NO_FACTS: Final = Facts()
"""Nothing is known."""

_ACTIONS: Final = {
    RequestKind.SERVICE: ("continue", "reject", "redirect"),
    RequestKind.PARTICIPANT: ("continue", "reject"),
    RequestKind.REGISTRATION: ("continue", "reject"),
    RequestKind.MEDIA_LOCATION: ("continue",),
    RequestKind.DIRECTORY: ("continue",),
    RequestKind.AVATAR: ("continue",),
}

_MIX: Final = Shape({"mix_name": text(empty=False), "prominent": boolean}, required=("mix_name",))

_PARTICIPANT: Final = Shape(
    {
        "bypass_lock": boolean,
        "call_tag": text(),
        "can_receive_personal_mix": boolean,
        "disable_overlay_text": boolean,
        "display_count": integer(0),
        "layout_group": text(),
        "preauthenticated_role": one_of("chair", "guest", nullable=True),
        "prefers_multiscreen_mix": boolean,
        "receive_from_audio_mix": text(),
        "reject_reason": text(),
        "remote_alias": text(),
        "remote_display_name": text(nullable=True),
        "rx_presentation_policy": one_of("ALLOW", "DENY"),
        "send_to_audio_mixes": objects(_MIX),
        "spotlight": integer(),
        "wants_presentation_in_mix": boolean,
    }
)

_NOT_PARTICIPANT: Final = {
    "role": "preauthenticated_role",
    "display_name": "remote_display_name",
    "bypass_conference_lock": "bypass_lock",
}

_LOCATION: Final = Shape(
    {
        "location": text(empty=False),
        "overflow_locations": texts,
        "primary_overflow_location": text(),
        "secondary_overflow_location": text(),
    },
    required=("location",),
)

_ENTRY: Final = Shape(
    {"username": text(), "alias": text(empty=False), "description": text()},
    required=("username", "alias", "description"),
)

_CREDENTIALS: Final = Shape({"username": text(), "password": text()})


def _participant(result: JsonObject, action: Json) -> Iterator[Violation]:
    for name, right in _NOT_PARTICIPANT.items():
        if name in result:
            yield error("P11", f"result.{name}", f"is not a participant property; {right} is")
    if action == "reject":
        for name in result:
            if name != "reject_reason":
                yield error("P11", f"result.{name}", "a rejection carries reject_reason and nothing else")
    elif "reject_reason" in result:
        yield warning("P11", "result.reject_reason", "means nothing unless action is reject")
    yield from _PARTICIPANT.check("result", {k: v for k, v in result.items() if k not in _NOT_PARTICIPANT})


def _location(result: JsonObject, facts: Facts) -> Iterator[Violation]:
    yield from _LOCATION.check("result", result, missing="P03")
    if facts.locations is None:
        return
    overflow = result.get("overflow_locations")
    names = [("result.location", result.get("location"))]
    names += [
        (f"result.overflow_locations.{n}", name)
        for n, name in enumerate(overflow if isinstance(overflow, list) else [])
    ]
    names += [(f"result.{key}", result[key]) for key in result if key.endswith("_overflow_location")]
    for field, name in names:
        if isinstance(name, str) and name and name not in facts.locations:
            yield error("P06", field, f"{quote(name)} is not a configured location (names are case-sensitive)")


def _directory(decision: JsonObject, facts: Facts) -> Iterator[Violation]:
    result = decision.get("result")
    if not isinstance(result, list):
        yield error("P12", "result", f"must be a list, not {kind_of(result)}")
    else:
        if len(result) > facts.limit:
            yield error("P12", "result", f"has {len(result)} entries; Pexip asked for {facts.limit}")
        yield from objects(_ENTRY)("result", result)
    if "ignore_local" in decision:
        yield from boolean("ignore_local", decision["ignore_local"])


def _registration(result: JsonObject, action: Json) -> Iterator[Violation]:
    if action == "reject":
        if result:
            yield error("P12", "result", "a refused registration has an empty result")
        return
    yield from _CREDENTIALS.check("result", result)
    given = {"username", "password"} & set(result)
    if len(given) == 1:
        yield error("P05", "result", "username and password go together")
    elif given and not result["username"] and not result["password"]:
        yield warning("P12", "result", "empty credentials let the device register without authentication")


def _avatar(result: JsonObject) -> Iterator[Violation]:
    image = result.get("image")
    if not isinstance(image, str) or not image:
        yield error("P05", "result.image", "must be a JPEG or PNG image in Base64")


def _envelope(kind: RequestKind, decision: JsonObject) -> Iterator[Violation]:
    if decision.get("status", "success") != "success":
        yield error("P01", "status", "must be success, or Pexip ignores the answer; leave it out")
    if "action" in decision:
        yield from one_of(*_ACTIONS[kind])("action", decision["action"])
    for name, value in decision.items():
        if name not in {"status", "result"} and isinstance(value, str) and len(value) > TEXT_LIMIT:
            yield error("P07", name, f"has {len(value)} characters; Pexip takes {TEXT_LIMIT}")


def _result(kind: RequestKind, decision: JsonObject, facts: Facts) -> Iterator[Violation]:
    action = decision.get("action", "continue")
    if kind is RequestKind.DIRECTORY:
        yield from _directory(decision, facts)
        return
    if kind is RequestKind.REGISTRATION and action == "reject" and "result" not in decision:
        yield error("P12", "result", "a refused registration needs an empty result")
    result = decision.get("result", {})
    if not isinstance(result, Mapping):
        yield error("P05", "result", f"must be an object, not {kind_of(result)}")
        return
    checks: dict[RequestKind, Callable[[], Iterator[Violation]]] = {
        RequestKind.SERVICE: lambda: check_service(result, action, facts.themes, facts.idp_groups),
        RequestKind.PARTICIPANT: lambda: _participant(result, action),
        RequestKind.MEDIA_LOCATION: lambda: _location(result, facts),
        RequestKind.REGISTRATION: lambda: _registration(result, action),
        RequestKind.AVATAR: lambda: _avatar(result),
    }
    yield from checks[kind]()


def _circumstances(kind: RequestKind, decision: JsonObject, facts: Facts) -> Iterator[Violation]:
    if kind is not RequestKind.SERVICE:
        return
    if decision.get("action") == "redirect" and facts.protocol not in {None, "sip"}:
        yield warning("P10", "action", f"a redirect means nothing for {facts.protocol}, only for sip")
    if facts.call_direction in {"dial_out", "non_dial"} and (
        decision.get("result") or decision.get("action") != "continue"
    ):
        yield warning(
            "P10", "action", f"an answer other than continue to {facts.call_direction} rarely does what was meant"
        )


def check(kind: RequestKind, decision: JsonObject, *, facts: Facts = NO_FACTS) -> list[Violation]:
    """Return what Pexip would not like about a decision; empty when all is well.

    The decision is the body without ``status``. A violation of severity ERROR
    means that Pexip would drop or misread the answer: it must not be sent.
    """
    return [*_envelope(kind, decision), *_result(kind, decision, facts), *_circumstances(kind, decision, facts)]


def errors(violations: list[Violation]) -> list[Violation]:
    """Return those that cost the answer."""
    return [violation for violation in violations if violation.severity is Severity.ERROR]
