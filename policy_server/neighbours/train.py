"""TRAIN's trusted content resolver: whether trust lists know an issuer."""

from collections.abc import Mapping

from policy_server.model.values import Json
from policy_server.neighbours.link import Link, json_text
from policy_server.wasm.strict import is_object


class Train:
    """Asks a resolver, without a token; safe for threads. Every question may raise BuiltinFailed."""

    def __init__(self, link: Link) -> None:
        """Take the line to the service."""
        self._link = link

    def ask(self, operation: str, question: Mapping[str, Json], seconds: float) -> bytes:
        """Return what it answers to ``resolve`` or ``validate``, JSON text of an object."""
        reply = self._link.ask(
            "POST",
            f"/{operation}",
            seconds=seconds,
            body=json_text(dict(question)),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        text = self._link.json(reply)
        if not is_object(text):
            raise self._link.strange("with something that is no object")
        return text
