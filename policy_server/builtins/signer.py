"""``signer.…``: what newer signers can do beyond the policy service's functions, asked for by options.

Source of the rules: the policy service's specification, section 6.6, and version 2 of the XFSC signer
(eclipse-xfsc/crypto-provider-service, ``design/types.go``). Only what a policy sets is sent: version 2 wants a
``group``, older signers know none.
"""

from typing import Final

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, OBJECT, Builtin, builtin
from policy_server.builtins.options import TEXT, TEXTS, check_options
from policy_server.builtins.proof import CREDENTIAL, PRESENTATION, must_be
from policy_server.builtins.waiting import asked
from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.link import Link
from policy_server.neighbours.signer import Signer

LINKED_DATA: Final = "ldp_vc"
"""The format of documents with a ``proof`` inside, which signers take where none is named."""

_KEY: Final = ("namespace", "key")
_PROOF: Final = dict.fromkeys((*_KEY, "group", "format", "signatureType", "nonce"), TEXT)
_VC: Final = {**_PROOF, "disclosureFrame": TEXTS}
_VP: Final = {**_PROOF, "disclosureFrame": TEXTS, "issuer": TEXT, "aud": TEXT}
_METHOD: Final = dict.fromkeys((*_KEY, "did", "group", "engine"), TEXT)


def functions(signer: Signer) -> tuple[Builtin, ...]:
    """Return the functions by a signer."""

    @builtin("signer.add_vc_proof", args=(OBJECT, ANY), result=ANY, nondeterministic=True, blocking=True, changes=True)
    def credential(call: Call, options: JsonObject, given: Json) -> bytes:
        check_options(options, _VC, needed=_KEY)
        text = _check_document(options, given, CREDENTIAL)
        return asked(call, lambda seconds: signer.prove("credential", options, given, seconds, text=text))

    @builtin("signer.add_vp_proof", args=(OBJECT, ANY), result=ANY, nondeterministic=True, blocking=True, changes=True)
    def presentation(call: Call, options: JsonObject, given: Json) -> bytes:
        check_options(options, _VP, needed=_KEY)
        text = _check_document(options, given, PRESENTATION)
        return asked(call, lambda seconds: signer.prove("presentation", options, given, seconds, text=text))

    @builtin("signer.verification_method", args=(OBJECT,), result=OBJECT, nondeterministic=True, blocking=True)
    def method(call: Call, options: JsonObject) -> bytes:
        check_options(options, _METHOD, needed=(*_KEY, "did"))
        did, namespace, key = (str(options[name]) for name in ("did", *_KEY))
        more = {name: value for name, value in options.items() if name in {"group", "engine"}}
        return asked(call, lambda seconds: signer.method(did, namespace, key, seconds, more=more))

    return (credential, presentation, method)


add_vc_proof, add_vp_proof, verification_method = functions(Signer(Link("signer", "", setting="POLICY_SIGNER_URL")))


def _check_document(options: JsonObject, given: Json, kind: str) -> bool:
    """Refuse what can be no credential or presentation; tell whether it may be a text, as in other formats."""
    if options.get("format", LINKED_DATA) == LINKED_DATA:
        if not isinstance(given, dict):
            raise BuiltinFailed("the document must be an object", code="argument")
        must_be(given, kind)
        return False
    if not isinstance(given, dict | str) or not given:
        raise BuiltinFailed("the document must be an object or a text", code="argument")
    return True
