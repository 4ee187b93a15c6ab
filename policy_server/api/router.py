"""Finds who answers an address; Pexip's addresses are found behind any prefix."""

import logging
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

import falcon
from falcon.constants import COMBINED_METHODS
from falcon.routing import CompiledRouter

log = logging.getLogger(__name__)

MARK: Final = "/policy/v1/"
"""What every address of Pexip has, after the operator's own prefix."""

DOUBLED: Final = "/policy/v1/policy/v1"
"""The address of a profile whose URL ends in /policy/v1; Pexip adds it a second time."""

Responder = Callable[..., None]
Params = dict[str, str]
Found = tuple[object, "MethodMap", Params, str]


class MethodMap(dict[str, Responder]):
    """The responders of one address; every other method is answered 405.

    Falcon would answer OPTIONS itself and unknown methods with 400.
    """

    def __init__(self, responders: Mapping[str, Responder]) -> None:
        """Take the responders by method."""
        allowed = sorted(responders)

        def refuse(_req: falcon.Request, _resp: falcon.Response, **_params: object) -> None:
            raise falcon.HTTPMethodNotAllowed(allowed)

        super().__init__(dict.fromkeys(COMBINED_METHODS, refuse) | dict(responders))
        self._refuse = refuse

    def __missing__(self, _method: str) -> Responder:
        """Answer for a method nobody has heard of."""
        return self._refuse


class Router(CompiledRouter):
    """Falcon's router, with Pexip's addresses found first and in the undecoded path.

    They win over everything else because an alias is a catch-all: a policy
    in a repository called ``v1``, group ``registrations``, cannot be asked for
    by the policy service's addresses.
    """

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._exact: dict[str, Found] = {}
        self._behind: dict[str, Found] = {}
        self._doubled: Found = (self, MethodMap({"GET": _not_found}), {}, DOUBLED)

    def map_http_methods(self, _resource: object, **kwargs: object) -> MethodMap:  # type: ignore[override] # Falcon's union covers ASGI too
        """Use the responders the route table gives."""
        responders = kwargs["responders"]
        if not isinstance(responders, MethodMap):
            raise TypeError("responders must come from the route table")
        return responders

    def add(self, template: str, resource: object, responders: MethodMap, *, pexip: bool) -> None:
        """Add one address; one of Pexip's may end in ``{alias}``, which takes everything."""
        if not pexip:
            self.add_route(template, resource, responders=responders)
            return
        tail = template.removeprefix(MARK)
        if tail.endswith("/{alias}"):
            self._behind[tail.removesuffix("{alias}")] = (resource, responders, {}, template)
        else:
            self._exact[tail] = (resource, responders, {}, template)

    def find(self, uri: str, req: falcon.Request | None = None) -> Found | None:
        """Find an address; ``uri`` is decoded, the request's raw address is looked at for aliases."""
        if MARK in uri and req is not None:
            found = self._find_pexip(raw_path(req.env, uri), uri)
            if found is not None:
                return found
        return super().find(uri, req)  # type: ignore[return-value] # what comes back is what `add` put in

    def _find_pexip(self, raw: str, decoded: str) -> Found | None:
        prefix, mark, tail = raw.partition(MARK)
        if not mark:  # a proxy has encoded what need not be
            prefix, mark, tail = decoded.replace("%", "%25").partition(MARK)
        found = self._match(tail)
        if found is None:
            if self._match(tail.removeprefix(MARK[1:])) is None:
                return None
            # SECURITY: the prefix may hold a secret and is not logged.
            log.warning("Pexip asks for /policy/v1/policy/v1/…: its profile's URL must not end in /policy/v1")
            return self._doubled
        resource, responders, params, template = found
        params["mount"] = unquote(prefix, errors="replace")
        return resource, responders, params, template

    def _match(self, tail: str) -> Found | None:
        if tail == "registrations/":
            tail = "registrations"
        exact = self._exact.get(tail)
        if exact is not None:
            return exact[0], exact[1], {}, exact[3]
        for head, (resource, responders, _, template) in self._behind.items():
            if tail.startswith(head):
                # PERF: unquote is slow on text that needs nothing.
                alias = tail[len(head) :]
                alias = unquote(alias, errors="replace") if "%" in alias or not alias.isascii() else alias
                return resource, responders, {"alias": alias}, template
        return None


def _not_found(_req: falcon.Request, _resp: falcon.Response, **_params: object) -> None:
    raise falcon.HTTPNotFound


def raw_path(environ: Mapping[str, object], decoded: str) -> str:
    """Return the path as it was sent where the server tells, else the decoded one re-read as sent."""
    raw = environ.get("RAW_URI")
    if not isinstance(raw, str):
        return decoded.replace("%", "%25")
    if not raw.isascii():
        raw = raw.encode("latin-1", "replace").decode("utf-8", "replace")
    if not raw.startswith("/"):  # absolute form: scheme and host come first
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    return raw.partition("?")[0].partition("#")[0]
