"""Verification methods and proofs, made and checked by a signer.

Source of the rules: the policy service's specification, section 6.6.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, ARRAY, OBJECT, Builtin, builtin
from policy_server.builtins.waiting import an_object, asked
from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.link import Link
from policy_server.neighbours.signer import Signer

CREDENTIAL: Final = "VerifiableCredential"
PRESENTATION: Final = "VerifiablePresentation"
_KINDS: Final[Mapping[str, str]] = {CREDENTIAL: "credential", PRESENTATION: "presentation"}


def functions(signer: Signer, *, invalid_is_false: bool = False) -> tuple[Builtin, ...]:
    """Return all functions of a signer; ``invalid_is_false``: ``proof.verify`` answers false instead of failing."""
    return (*_methods(signer), *_proofs(signer), _verifying(signer, invalid_is_false=invalid_is_false))


def _methods(signer: Signer) -> tuple[Builtin, ...]:
    @builtin(
        "verification_method",
        args=("string", "string", "string"),
        result=OBJECT,
        nondeterministic=True,
        blocking=True,
    )
    def one(call: Call, did: str, namespace: str, key: str) -> bytes:
        return asked(call, lambda seconds: signer.method(did, namespace, key, seconds))

    @builtin("verification_methods", args=("string", "string"), result=ARRAY, nondeterministic=True, blocking=True)
    def every(call: Call, did: str, namespace: str) -> bytes:
        return asked(call, lambda seconds: signer.methods(did, namespace, seconds))

    # COMPAT: the names in the original's developer guide, which it no longer has.
    return (one, every, replace(one, name="keys.get"), replace(every, name="keys.getAll"))


def _proofs(signer: Signer) -> tuple[Builtin, ...]:
    @builtin(
        "add_vc_proof",
        args=("string", "string", OBJECT),
        result=OBJECT,
        nondeterministic=True,
        blocking=True,
        changes=True,
    )
    def credential(call: Call, namespace: str, key: str, given: JsonObject) -> bytes:
        must_be(given, CREDENTIAL)
        return asked(call, lambda seconds: signer.credential(namespace, key, given, seconds))

    @builtin(
        "add_vp_proof",
        args=("string", "string", "string", OBJECT),
        result=OBJECT,
        nondeterministic=True,
        blocking=True,
        changes=True,
    )
    def presentation(call: Call, did: str, namespace: str, key: str, given: JsonObject) -> bytes:
        must_be(given, PRESENTATION)
        return asked(call, lambda seconds: signer.presentation(did, namespace, key, given, seconds))

    return (credential, presentation)


def _verifying(signer: Signer, *, invalid_is_false: bool) -> Builtin:
    @builtin("proof.verify", args=(ANY,), result="boolean", nondeterministic=True, blocking=True)
    def verify(call: Call, document: JsonObject) -> bool:
        an_object(document, "the credential")
        kind = next((kind for name, kind in _KINDS.items() if name in _types(document)), None)
        if kind is None:
            raise BuiltinFailed(f"the type is neither {CREDENTIAL} nor {PRESENTATION}", code="argument")
        if document.get("proof") is None:
            raise BuiltinFailed("the credential has no proof", code="argument")
        valid = asked(call, lambda seconds: signer.verify(kind, document, seconds))
        if not valid and not invalid_is_false:
            raise BuiltinFailed("the proof is not valid", code="invalid")
        return valid

    return verify


verification_method, verification_methods, keys_get, keys_get_all, add_vc_proof, add_vp_proof, proof_verify = functions(
    Signer(Link("signer", "", setting="POLICY_SIGNER_URL"))
)


def must_be(document: JsonObject, wanted: str) -> None:
    """Raise BuiltinFailed, code ``argument``, when a document is not of a type."""
    if wanted not in _types(document):
        raise BuiltinFailed(f"the type is not {wanted}", code="argument")


def _types(document: JsonObject) -> tuple[Json, ...]:
    """Return the types of a document. COMPAT: the original takes one only; W3C's examples have a list."""
    kind = document.get("type")
    return tuple(kind) if isinstance(kind, list) else (kind,)
