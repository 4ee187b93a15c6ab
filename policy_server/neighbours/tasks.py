"""The task service: work that others do later."""

from policy_server.model.values import JsonObject
from policy_server.neighbours.link import CREATED, Link, json_text, segment


class Tasks:
    """Makes tasks and lists of tasks; safe for threads."""

    def __init__(self, link: Link) -> None:
        """Take the line to the service."""
        self._link = link

    def create(self, kind: str, name: str, data: JsonObject, seconds: float) -> bytes:
        """Make a ``task`` or ``taskList`` of a name and return the JSON text that names it; BuiltinFailed."""
        reply = self._link.ask(
            "POST",
            f"/v1/{kind}/{segment(name, 'the name')}",
            seconds=seconds,
            body=json_text(data),
            headers={"Content-Type": "application/json"},
            ok=CREATED,
            token=True,
        )
        return self._link.json(reply)
