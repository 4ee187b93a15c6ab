"""What one line of the route table says."""

from dataclasses import dataclass

from policy_server.api.errors import Shape


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter or header that a route reads."""

    name: str
    about: str
    kind: str = "string"
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one address.

    ``resource`` answers with ``on_<method>`` or ``on_<method>_<suffix>``.
    ``operation`` is the name in the OpenAPI document and chooses the error
    table, and the role that is needed (api/roles.py). ``answer`` is the shape of
    a good answer, None when it is not JSON of a known shape; ``other`` is the
    shape when a parameter asks for that; ``body`` is that of the request, or
    ``accepts`` the media types of a body that has no shape. ``faults`` are the
    statuses it may answer instead, ``good`` those of good answers.
    """

    method: str
    path: str
    resource: type
    operation: str
    summary: str
    tag: str
    suffix: str = ""
    shape: Shape = Shape.PROBLEM
    answer: type | None = None
    media: str = "application/json"
    params: tuple[Param, ...] = ()
    takes_input: bool = False
    accepts: tuple[str, ...] = ()
    body: type | None = None
    faults: tuple[int, ...] = ()
    other: type | None = None
    good: tuple[int, ...] = (200,)

    @property
    def responder(self) -> str:
        """The name of the resource's method."""
        return "_".join(part for part in ("on", self.method.lower(), self.suffix) if part)
