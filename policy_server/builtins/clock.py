"""The time, which stands still during an evaluation."""

from policy_server.builtins.call import Call
from policy_server.builtins.declare import builtin


@builtin("time.now_ns", result="number", nondeterministic=True, known_to_opa=True)
def now_ns(call: Call) -> int:
    """Return nanoseconds since 1970, the same all through one evaluation."""
    return call.now_ns
