"""``train.resolve`` and ``train.validate``: trust lists, asked of TRAIN's trusted content resolver.

Source of the rules: the resolver's REST API 1.0.0 (eclipse-xfsc/train-trusted-content-resolver, ``clients/go/tcr``).
"""

from collections.abc import Sequence

from policy_server.builtins.call import Call
from policy_server.builtins.declare import OBJECT, Builtin, builtin
from policy_server.builtins.waiting import asked
from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.link import Link
from policy_server.neighbours.train import Train

_TEXTS: JsonObject = {"type": "array", "dynamic": {"type": "string"}}


def functions(train: Train) -> tuple[Builtin, ...]:
    """Return the functions by a resolver."""

    @builtin("train.resolve", args=("string", _TEXTS), result=OBJECT, nondeterministic=True, blocking=True)
    def resolve(call: Call, issuer: str, schemes: Sequence[Json]) -> bytes:
        _check(issuer, "issuer")
        question: JsonObject = {"issuer": issuer, "trustSchemePointers": _texts(schemes, "trust scheme pointer")}
        return asked(call, lambda seconds: train.ask("resolve", question, seconds))

    @builtin("train.validate", args=("string", "string", _TEXTS), result=OBJECT, nondeterministic=True, blocking=True)
    def validate(call: Call, issuer: str, did: str, endpoints: Sequence[Json]) -> bytes:
        _check(issuer, "issuer")
        _check(did, "DID")
        question: JsonObject = {"issuer": issuer, "did": did, "endpoints": _texts(endpoints, "endpoint")}
        return asked(call, lambda seconds: train.ask("validate", question, seconds))

    return (resolve, validate)


train_resolve, train_validate = functions(Train(Link("trusted content resolver", "", setting="POLICY_TRAIN_URL")))


def _texts(values: Sequence[Json], what: str) -> list[Json]:
    """Return what must be at least one text; a question about nothing has an answer that proves nothing."""
    if not values:
        raise BuiltinFailed(f"there is no {what}", code="argument")
    for value in values:
        if not isinstance(value, str):
            raise BuiltinFailed(f"a {what} must be a text", code="argument")
        _check(value, what)
    return list(values)


def _check(text: str, what: str) -> None:
    if not text.strip():
        raise BuiltinFailed(f"the {what} is empty", code="argument")
