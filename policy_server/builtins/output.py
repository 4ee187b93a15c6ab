"""What policies say on the side: ``print`` and ``trace``."""

import logging

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, builtin
from policy_server.model.values import Json

log = logging.getLogger(__name__)


@builtin(
    "internal.print",
    args=({"type": "array", "dynamic": {"type": "set", "of": ANY}},),
    result=ANY,
    known_to_opa=True,
)
def write(_: Call, operands: list[list[Json]]) -> Json:
    """Log what ``print`` was given; only in modules compiled to keep it.

    Each operand is the set of its values, empty when it is undefined.
    """
    log.info("policy printed: %s", " ".join(_shown(values) for values in operands))
    return True


@builtin("trace", args=("string",), result="boolean", known_to_opa=True)
def trace(_: Call, _note: str) -> bool:
    """Do nothing: notes are for OPA's interpreter."""
    return True


def _shown(values: list[Json]) -> str:
    return "|".join(str(value) for value in values) or "<undefined>"
