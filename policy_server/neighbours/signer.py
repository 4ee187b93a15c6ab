"""The signer: verification methods, proofs on credentials and presentations."""

from collections.abc import Mapping

from policy_server.model.values import Json
from policy_server.neighbours.link import Link, Reply, json_text, segment
from policy_server.wasm.strict import is_object


class Signer:
    """Asks a signer; safe for threads. Every question raises BuiltinFailed when it is not answered as it should be."""

    def __init__(self, link: Link) -> None:
        """Take the line to the service."""
        self._link = link

    def method(
        self, did: str, namespace: str, key: str, seconds: float, *, more: Mapping[str, Json] | None = None
    ) -> bytes:
        """Return one verification method, JSON text of an object.

        ``more`` goes into the body: there newer signers look for ``group`` and ``engine``, although it is a GET.
        """
        parts = (segment(namespace, "the namespace"), segment(key, "the key"), segment(did, "the DID"))
        return self._object(self._get(f"/v1/verification-methods/{'/'.join(parts)}", seconds, more))

    def methods(self, did: str, namespace: str, seconds: float) -> bytes:
        """Return all verification methods of a namespace, JSON text of an array."""
        parts = (segment(namespace, "the namespace"), segment(did, "the DID"))
        text = self._link.json(self._get(f"/v1/verification-methods/{'/'.join(parts)}", seconds))
        if text.lstrip()[:1] != b"[":
            raise self._link.strange("with something that is no list")
        return text

    def credential(self, namespace: str, key: str, credential: Json, seconds: float) -> bytes:
        """Return a credential with a proof, JSON text of an object."""
        body: Json = {"namespace": namespace, "key": key, "credential": credential}
        return self._object(self._post("/v1/credential/proof", body, seconds))

    def presentation(self, issuer: str, namespace: str, key: str, presentation: Json, seconds: float) -> bytes:
        """Return a presentation with a proof, JSON text of an object."""
        body: Json = {"issuer": issuer, "namespace": namespace, "key": key, "presentation": presentation}
        return self._object(self._post("/v1/presentation/proof", body, seconds))

    def prove(
        self, kind: str, options: Mapping[str, Json], document: Json, seconds: float, *, text: bool = False
    ) -> bytes:
        """Return a ``credential`` or ``presentation`` with a proof, JSON text of an object.

        With ``text`` it may be a text, too, as SD-JWTs are.
        """
        reply = self._post(f"/v1/{kind}/proof", {**options, kind: document}, seconds)
        if text and self._link.json(reply).lstrip()[:1] == b'"':
            return self._link.json(reply)
        return self._object(reply)

    def verify(self, kind: str, document: Json, seconds: float) -> bool:
        """Tell whether the proof on a ``credential`` or ``presentation`` is right."""
        valid = self._link.members(self._post(f"/v1/{kind}/verify", document, seconds)).get("valid")
        if not isinstance(valid, bool):
            raise self._link.strange("without saying whether it is valid")
        return valid

    def _get(self, path: str, seconds: float, body: Mapping[str, Json] | None = None) -> Reply:
        if not body:
            return self._link.ask("GET", path, seconds=seconds, token=True)
        headers = {"Content-Type": "application/json"}
        return self._link.ask("GET", path, seconds=seconds, body=json_text(dict(body)), headers=headers, token=True)

    def _post(self, path: str, body: Json, seconds: float) -> Reply:
        headers = {"Content-Type": "application/json"}
        return self._link.ask("POST", path, seconds=seconds, body=json_text(body), headers=headers, token=True)

    def _object(self, reply: Reply) -> bytes:
        text = self._link.json(reply)
        if not is_object(text):
            raise self._link.strange("with something that is no object")
        return text
