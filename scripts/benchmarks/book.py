"""The bundled Pexip service policy with a rule book of a chosen size."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

from benchmarks.cases import Case
from benchmarks.places import ROOT
from benchmarks.rounds import Unmeasured
from benchmarks.subjects import Subject

_POLICY = ROOT / "rego" / "pexip" / "service" / "1.0" / "policy.rego"
_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
# What a node sends for an incoming SIP call, unset keys included.
_QUERY = {
    "bandwidth": "0",
    "call_direction": "dial_in",
    "call_tag": "",
    "idp_uuid": "",
    "location": "Oslo",
    "ms-subnet": "",
    "node_ip": "10.44.99.2",
    "p_Asserted-Identity": '"Alice"<sip:alice@example.com>',
    "protocol": "sip",
    "pseudo_version_id": "77683.0.0",
    "registered": "False",
    "remote_address": "10.44.75.249",
    "remote_alias": "sip:alice@example.com",
    "remote_display_name": "Alice",
    "remote_port": "58435",
    "service_name": "",
    "service_tag": "",
    "supports_direct_media": "False",
    "teams_tenant_id": "",
    "telehealth_request_id": "",
    "trigger": "invite",
    "unique_service_name": "",
    "vendor": "TANDBERG/518 (TC6.0.1.65adebe)",
    "version_id": "16",
}


def pexip(size: int) -> Subject:
    """A service request for a room that the last of ``size`` rules knows.

    Raises:
        Unmeasured: the bundled policy or the code that reads requests is not there.
    """
    if not _POLICY.is_file():
        raise Unmeasured(f"{_POLICY} is missing")
    alias = f"sip:room-{size - 1}@example.com"
    query = _QUERY | {"local_alias": alias}
    result = {"name": f"Room {size - 1}", "service_tag": "bench", "service_type": "conference"}
    case = Case(
        f"{size} rules, Pexip rule book",
        {"policy.rego": _POLICY.read_text(encoding="utf-8")},
        "pexip/service/decision",
        _input(query),
        {"action": "continue", "result": result, "rule_id": f"room-{size - 1}"},
        data=_book(size),
    )
    return Subject(
        "Pexip service request",
        case,
        "pexip",
        "service",
        f"/policy/v1/service/configuration?{urlencode(query)}",
        f'"name":"Room {size - 1}"'.encode(),
        settings={"POLICY_PEXIP_SERVICE_POLICY": "bench/pexip/service/1.0"},
    )


def rule_book(size: int) -> Case:
    """The bundled service policy with ``size`` rules; all are looked at, the last one matches."""
    return pexip(size).case


def _book(size: int) -> dict[str, object]:
    rules = [
        {
            "id": f"room-{number}",
            "name": f"The room number {number}",
            "enabled": True,
            "when": {"field": "local.user", "op": "equals", "value": f"room-{number}"},
            "then": {
                "action": "continue",
                "result": {"service_type": "conference", "name": f"Room {number}", "service_tag": "bench"},
            },
        }
        for number in range(size)
    ]
    return {"rules": rules, "otherwise": {"action": "default"}}


def _input(query: dict[str, str]) -> object:
    try:
        from policy_server.pexip.inputs import input_document  # noqa: PLC0415 - other benchmarks do not need it
        from policy_server.pexip.kinds import RequestKind  # noqa: PLC0415
    except ImportError as error:
        raise Unmeasured(f"requests cannot be read: {error}") from error
    values = {name: [value] for name, value in query.items()}
    document = input_document(RequestKind.SERVICE, alias=None, query=values, received_at=_AT, mount="")
    found: object = json.loads(document)
    return found
