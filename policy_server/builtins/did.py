"""``did.resolve``, ``did_to_url``, ``url_to_did``.

Source of the rules: the policy service's specification, sections 6.3 and 6.4.
"""

import re
from typing import Final
from urllib.parse import quote_plus, unquote, urlsplit

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, builtin
from policy_server.builtins.waiting import asked
from policy_server.model.errors import BuiltinFailed
from policy_server.neighbours.link import Link
from policy_server.neighbours.resolver import Resolver

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NO_HOST: Final = re.compile(r"[\s/?#@\\]")


def functions(resolver: Resolver) -> tuple[Builtin, ...]:
    """Return ``did.resolve`` by a resolver."""

    @builtin("did.resolve", args=("string",), result=ANY, nondeterministic=True, blocking=True)
    def resolve(call: Call, did: str) -> bytes:
        return asked(call, lambda seconds: resolver.resolve(did, seconds))

    return (resolve,)


(did_resolve,) = functions(Resolver(Link("DID resolver", "", setting="POLICY_DID_RESOLVER_URL")))


@builtin("did_to_url", args=("string",), result="string")
def did_to_url(_: Call, did: str) -> str:
    """Return where the document of a ``did:web`` DID lies.

    COMPAT: other than the original, which made ``https://.well-known/did.json`` of ``did:web:``, a DID with an
    empty part or without a host is an error.
    """
    parts = did.removeprefix("did:web:").split(":")
    if not did.startswith("did:web:"):
        raise BuiltinFailed("this is no did:web DID", code="argument")
    if _BAD_ESCAPE.search(parts[0]) is not None:
        raise BuiltinFailed("the DID has a % that escapes nothing", code="argument")
    host = unquote(parts[0])
    if not all(parts) or not host or _NO_HOST.search(host) is not None:
        raise BuiltinFailed("the DID names no host, or has an empty part", code="argument")
    path = "/".join(parts[1:]) if len(parts) > 1 else ".well-known"
    return f"https://{host}/{path}/did.json"


@builtin("url_to_did", args=("string",), result="string")
def url_to_did(_: Call, url: str) -> str:
    """Return the ``did:web`` DID whose document lies at an https address; its query does not count."""
    try:
        found = urlsplit(url)
        _port = found.port  # ValueError when it is none
    except ValueError as error:
        raise BuiltinFailed("the address cannot be read", code="argument") from error
    host = found.netloc.rpartition("@")[2]
    if found.scheme != "https" or not found.hostname:
        raise BuiltinFailed("this is no https address", code="argument")
    if _BAD_ESCAPE.search(found.path) is not None:
        raise BuiltinFailed("the address has a % that escapes nothing", code="argument")
    segments = unquote(found.path.removesuffix("did.json")).split("/")
    if ".well-known" in segments:
        segments = segments[: segments.index(".well-known")]
    return ":".join(["did:web", quote_plus(host), *(quote_plus(each) for each in segments if each)])
