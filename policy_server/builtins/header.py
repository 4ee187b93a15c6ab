"""The headers of the request that asks."""

from functools import lru_cache

from policy_server.builtins.call import Call
from policy_server.builtins.declare import builtin


@builtin("external.http.header", args=("string",), result="string")
def header(call: Call, name: str) -> str:
    """Return the first value of a header, an empty string when there is none.

    Both the asked name and the names in the request are made canonical first.
    """
    asked = canonical(name)
    found = call.headers.get(asked)
    if found is not None:
        return found
    for given, value in call.headers.items():
        if canonical(given) == asked:
            return value
    return ""


@lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """Write a header name as Go's http.CanonicalHeaderKey does: ``x-cache-key`` → ``X-Cache-Key``.

    A name with characters that no header can have is left as it is.
    """
    if not name.isascii() or not all(letter.isalnum() or letter in "!#$%&'*+-.^_`|~" for letter in name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
