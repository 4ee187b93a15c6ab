"""``ocm.*``: logins with credentials, by an OCM service.

Source of the rules: the policy service's specification, section 6.7.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from policy_server.builtins.call import Call
from policy_server.builtins.declare import OBJECT, Builtin, builtin
from policy_server.builtins.waiting import asked
from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.link import Link
from policy_server.neighbours.ocm import Ocm

_STRING: Final[JsonObject] = {"type": "string"}
_SCOPES: Final[JsonObject] = {"type": "array", "dynamic": _STRING}
_SCOPE_MAP: Final[JsonObject] = {"type": "object", "dynamic": {"key": _STRING, "value": _STRING}}


def functions(ocm: Ocm) -> tuple[Builtin, ...]:
    """Return the four functions by an OCM service."""
    return (*_invitations(ocm), *_results(ocm))


def _invitations(ocm: Ocm) -> tuple[Builtin, ...]:
    @builtin(
        "ocm.getLoginProofInvitation",
        args=(_SCOPES, _SCOPE_MAP),
        result=OBJECT,
        nondeterministic=True,
        blocking=True,
        changes=True,
    )
    def invite(call: Call, scopes: Sequence[Json], scope_map: Mapping[str, Json]) -> JsonObject:
        types = credential_types(scopes, scope_map)
        return asked(call, lambda seconds: ocm.invite(types, seconds))

    @builtin(
        "ocm.sendPresentationRequest", args=(OBJECT,), result=OBJECT, nondeterministic=True, blocking=True, changes=True
    )
    def request(call: Call, wanted: JsonObject) -> JsonObject:
        return asked(call, lambda seconds: ocm.request(wanted, seconds))

    return (invite, request)


def _results(ocm: Ocm) -> tuple[Builtin, ...]:
    @builtin("ocm.getLoginProofResult", args=("string",), result=OBJECT, nondeterministic=True, blocking=True)
    def presented(call: Call, request: str) -> JsonObject:
        return asked(call, lambda seconds: ocm.presented(request, seconds))

    @builtin("ocm.getRawProofResult", args=("string",), result=OBJECT, nondeterministic=True, blocking=True)
    def raw(call: Call, request: str) -> bytes:
        return asked(call, lambda seconds: ocm.raw(request, seconds))

    return (presented, raw)


ocm_invitation, ocm_request, ocm_result, ocm_raw = functions(Ocm(Link("OCM service", "", setting="POLICY_OCM_URL")))


def credential_types(scopes: Sequence[Json], scope_map: Mapping[str, Json]) -> Sequence[str]:
    """Return the credential types of scopes, each once, in the order of the scopes; BuiltinFailed when there is none.

    A scope that the map does not have is an error, one with an empty type asks for nothing.
    """
    types: list[str] = []
    for scope in scopes:
        kind = scope_map.get(scope) if isinstance(scope, str) else None
        if not isinstance(kind, str):
            raise BuiltinFailed(f"the map has no credential type for the scope {scope!r}", code="argument")
        types += [kind] if kind else []
    if not types:
        raise BuiltinFailed("the scopes name no credential type", code="argument")
    return tuple(dict.fromkeys(types))
