"""``opa.runtime``: what a policy may know about the process it runs in; by default nothing."""

from collections.abc import Mapping

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, builtin
from policy_server.builtins.opa import OPA_VERSION
from policy_server.model.values import Json, JsonObject

_RESULT: JsonObject = {"type": "object", "dynamic": {"key": {"type": "string"}, "value": ANY}}


@builtin("opa.runtime", result=_RESULT, nondeterministic=True, known_to_opa=True)
def runtime(_: Call) -> Json:
    """Return an empty object."""
    return {}


def runtime_with(variables: Mapping[str, str]) -> Builtin:
    """Return an ``opa.runtime`` that shows these variables, and the version of OPA.

    SECURITY: never the environment as a whole, which holds the server's own secrets.
    """
    shown: Json = {"env": dict(variables), "version": OPA_VERSION}

    @builtin("opa.runtime", result=_RESULT, nondeterministic=True, known_to_opa=True)
    def answer(_: Call) -> Json:
        return shown

    return answer
