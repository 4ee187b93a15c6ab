"""``sd_jwt.decode`` and ``sd_jwt.verify``: SD-JWTs and SD-JWT VCs, without asking anybody.

Source of the rules: RFC 9901 and draft-ietf-oauth-sd-jwt-vc.
"""

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, cast

from policy_server.builtins.call import Call
from policy_server.builtins.declare import OBJECT, builtin
from policy_server.builtins.options import ANY, NUMBER, TEXT, TEXTS, check_options
from policy_server.builtins.options import OBJECT as MEMBERS
from policy_server.model.errors import BuiltinFailed, UnusableKey
from policy_server.model.values import Json, JsonObject

if TYPE_CHECKING:
    from policy_server.jose.credential import Binding, Expected
    from policy_server.jose.keys import Jwk, PublicKey

# ruff: noqa: PLC0415
# PERF: cryptography takes 20 to 40 ms to import, each start of a command and a worker imports this module, and few
# policies read SD-JWTs.

_OPTIONS: Final = {
    "key": ANY,
    "algorithms": TEXTS,
    "iss": TEXT,
    "aud": TEXT,
    "vct": ANY,
    "time": NUMBER,
    "leeway": NUMBER,
    "key_binding": MEMBERS,
}
_BINDING: Final = {"aud": TEXT, "nonce": TEXT, "max_age": NUMBER, "algorithms": TEXTS}
_NANOSECONDS: Final = 1e9


@builtin("sd_jwt.decode", args=("string",), result=OBJECT)
def sd_jwt_decode(_: Call, token: str) -> JsonObject:
    """Return what an SD-JWT says, its disclosures put in; no signature is looked at.

    ``{"header", "payload", "disclosures", "key_binding"}``: of the issuer's token, with ``[salt, name, value]`` (or
    ``[salt, value]``) of each disclosure, and ``{"header", "payload"}`` of the holder's token, or null.

    Raises:
        BuiltinFailed: code ``argument``: it is no SD-JWT, or breaks one of the rules of RFC 9901, 7.1.
    """
    from policy_server.jose.jws import read_members
    from policy_server.jose.sd_jwt import read_sd_jwt

    try:
        found = read_sd_jwt(token)
        bound = found.key_binding
        return {
            "header": found.issued.header,
            "payload": found.resolved(),
            "disclosures": cast(Json, found.opened()),
            "key_binding": None
            if bound is None
            else cast(Json, {"header": bound.header, "payload": read_members(bound.payload)}),
        }
    except ValueError as error:
        raise BuiltinFailed(f"this is no SD-JWT that can be read: {error}", code="argument") from error


@builtin("sd_jwt.verify", args=("string", OBJECT), result=OBJECT, nondeterministic=True)
def sd_jwt_verify(call: Call, token: str, options: JsonObject) -> JsonObject:
    """Verify an SD-JWT, and the holder's key binding where that is asked for.

    Answers ``{"valid": true, "header", "payload", "key_binding"}`` or ``{"valid": false, "reason"}``; the last of
    the former is what the holder's token says, null where it was not verified.

    Raises:
        BuiltinFailed: code ``argument``: the options cannot be used. A token is never at fault for that.
    """
    from policy_server.jose.credential import verify
    from policy_server.jose.sd_jwt import read_sd_jwt

    expected = _expected(call, options)
    try:
        found = read_sd_jwt(token)
        verified = verify(found, expected)
    except ValueError as error:
        return {"valid": False, "reason": str(error)}
    return {
        "valid": True,
        "header": found.issued.header,
        "payload": verified.payload,
        "key_binding": verified.binding,
    }


def _expected(call: Call, options: JsonObject) -> "Expected":
    from policy_server.jose.credential import Expected

    check_options(options, _OPTIONS, needed=("key",))
    binding = options.get("key_binding")
    types = options.get("vct")
    if isinstance(types, str):
        types = [types]
    if types is not None and (not isinstance(types, list) or not all(isinstance(each, str) for each in types)):
        raise BuiltinFailed("the option vct must be a text or a list of texts", code="argument")
    return Expected(
        keys=_keys(options["key"]),
        at=cast(float, options.get("time", call.now_ns)) / _NANOSECONDS,
        leeway=cast(float, options.get("leeway", 30)),
        algorithms=_algorithms(options),
        issuer=cast("str | None", options.get("iss")),
        audience=cast("str | None", options.get("aud")),
        types=None if types is None else cast("list[str]", types),
        binding=None if binding is None else _binding(cast(JsonObject, binding)),
    )


def _binding(options: JsonObject) -> "Binding":
    from policy_server.jose.credential import Binding

    check_options(options, _BINDING, needed=("aud", "nonce"))
    return Binding(
        cast(str, options["aud"]),
        cast(str, options["nonce"]),
        cast(float, options.get("max_age", 300)),
        _algorithms(options),
    )


def _algorithms(options: JsonObject) -> Collection[str]:
    from policy_server.jose.jws import ASYMMETRIC

    named = cast("list[str]", options.get("algorithms", sorted(ASYMMETRIC)))
    if unknown := sorted(set(named) - ASYMMETRIC):
        raise BuiltinFailed(
            f"the algorithm {unknown[0]!r} cannot be allowed, only {', '.join(sorted(ASYMMETRIC))}", code="argument"
        )
    return named


def _keys(value: Json) -> "list[tuple[Jwk, PublicKey]]":
    """Read the issuer's keys: PEM, or a JWK or JWK Set as an object or a text; PEM has no ``kid`` to be compared."""
    from policy_server.jose.keys import read_keys

    if not isinstance(value, str | dict):
        raise BuiltinFailed("the option key must be a text or an object", code="argument")
    try:
        found = read_keys(value if isinstance(value, str) else json.dumps(value))
    except UnusableKey as error:
        raise BuiltinFailed(f"the option key cannot be used: {error.message}", code="argument") from error
    pem = isinstance(value, str) and value.lstrip().startswith("-----BEGIN")
    return [({}, key) for _, key in found] if pem else found
