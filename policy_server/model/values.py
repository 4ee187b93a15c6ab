"""Values as JSON and Rego know them."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""Anything JSON can say."""

JsonObject = Mapping[str, Json]
"""A JSON object."""


class Undefined(Enum):
    """The answer of a rule that has no value; not the same as null."""

    UNDEFINED = "undefined"

    def __bool__(self) -> bool:
        """Read as false, so that ``if value`` treats it like no answer."""
        return False

    def __repr__(self) -> str:
        """Show the name a Rego author knows."""
        return "UNDEFINED"


UNDEFINED: Final = Undefined.UNDEFINED
"""The one undefined value; test it with ``is``."""
