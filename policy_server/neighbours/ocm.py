"""The OCM service: invitations to present credentials, and what was presented."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from policy_server.model.errors import BuiltinFailed
from policy_server.model.values import Json, JsonObject
from policy_server.neighbours.link import CREATED, Link, Reply, json_text
from policy_server.wasm.strict import is_object


class Ocm:
    """Asks an OCM service, without a token; safe for threads. Every question may raise BuiltinFailed."""

    def __init__(self, link: Link) -> None:
        """Take the line to the service."""
        self._link = link

    def invite(self, types: Sequence[str], seconds: float) -> JsonObject:
        """Invite to a login with credentials of these types; return link and request id."""
        path = f"/v1/out-of-band-proof?type={quote(','.join(types), safe='', errors='replace')}"
        return self._invitation(self._link.ask("POST", path, seconds=seconds, body=b"", ok=CREATED))

    def request(self, request: Json, seconds: float) -> JsonObject:
        """Ask for a presentation; return link and request id."""
        reply = self._link.ask(
            "POST",
            "/v1/send-out-of-band-presentation-request",
            seconds=seconds,
            body=json_text(request),
            headers={"Content-Type": "application/json"},
            ok=CREATED,
        )
        return self._invitation(reply)

    def presented(self, request: str, seconds: float) -> JsonObject:
        """Return the subjects of all presented credentials as one object, later ones win."""
        data = self._link.members(self._proof(request, seconds)).get("data")
        found = data.get("presentations") if isinstance(data, Mapping) else None
        joined: dict[str, Json] = {}
        for each in found if isinstance(found, list) else ():
            subject = each.get("credentialSubject") if isinstance(each, Mapping) else None
            if isinstance(subject, Mapping):
                joined.update(subject)
        return joined

    def raw(self, request: str, seconds: float) -> bytes:
        """Return the whole answer about a request, JSON text of an object."""
        text = self._link.json(self._proof(request, seconds))
        if not is_object(text):
            raise self._link.strange("with something that is no object")
        return text

    def _proof(self, request: str, seconds: float) -> Reply:
        if not request.strip():
            raise BuiltinFailed("the request id is empty", code="argument")
        path = f"/v1/find-by-presentation-id?proofRecordId={quote(request, safe='', errors='replace')}"
        return self._link.ask("GET", path, seconds=seconds)

    def _invitation(self, reply: Reply) -> JsonObject:
        data = self._link.members(reply).get("data")
        link, request = (
            data.get(name) if isinstance(data, Mapping) else None for name in ("presentationMessage", "proofRecordId")
        )
        if not isinstance(link, str) or not isinstance(request, str):
            raise self._link.strange("without an invitation")
        return {"link": link, "requestId": request}
