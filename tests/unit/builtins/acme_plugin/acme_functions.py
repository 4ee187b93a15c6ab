"""An example of a package that brings functions: what docs/functions.md shows."""

from policy_server.builtins.call import Call
from policy_server.builtins.declare import builtin
from policy_server.model.errors import BuiltinFailed


@builtin("acme.shout", args=("string",), result="string")
def shout(_: Call, text: str) -> str:
    """Return a text in capitals."""
    if not text:
        raise BuiltinFailed("there is nothing to shout")
    return text.upper()


@builtin("acme.count", result="number", nondeterministic=True)
def count(call: Call) -> int:
    """Return how many headers the caller sent; asked once an evaluation."""
    return len(call.headers)


FUNCTIONS = [shout, count]
