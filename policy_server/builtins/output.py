"""What policies say on the side: ``print`` and ``trace``."""

from collections.abc import Sequence
from itertools import islice, product

from policy_server.builtins.call import MAX_PRINTED, Call
from policy_server.builtins.declare import ANY, builtin
from policy_server.model.errors import BuiltinFailed
from policy_server.wasm.rego import rego
from policy_server.wasm.text import Number, RegoSet, Value, order, parse


@builtin(
    "internal.print",
    args=({"type": "array", "dynamic": {"type": "set", "of": ANY}},),
    result=ANY,
    known_to_opa=True,
    verbatim=True,
)
def write(call: Call, text: bytes) -> bytes:
    """Keep what ``print`` was given; only in modules compiled to keep it.

    Each operand is the set of its values, empty when it is undefined. As in OPA there is
    a line for every combination of them, at most as many as an evaluation keeps.
    """
    operands = parse(text)
    if not isinstance(operands, list):
        raise BuiltinFailed("operand 1 must be array")
    try:
        choices = [_choices(each) for each in operands]
    except RecursionError:
        choices = [["(a value that nests too deeply)"]]
    for combination in islice(product(*choices), MAX_PRINTED):
        call.print(" ".join(combination))
    return b"true"


@builtin("trace", args=("string",), result="boolean", known_to_opa=True)
def trace(call: Call, note: str) -> bool:
    """Keep the note beside the printed lines, named as one."""
    call.print(f"note: {note}")
    return True


def _choices(operand: Value) -> Sequence[str]:
    """Return what may stand for an operand: OPA allows plain values beside sets."""
    if not isinstance(operand, RegoSet):
        if isinstance(operand, (list, tuple)):
            raise BuiltinFailed("illegal argument type")
        return [_shown(operand)]
    if not operand.members:
        return ["<undefined>"]
    return [_shown(each) for each in sorted(operand.members, key=order)]


def _shown(value: Value) -> str:
    return value if isinstance(value, str) and not isinstance(value, Number) else rego(value)
