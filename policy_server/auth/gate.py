"""Joins the ways to know who asks into one answer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from policy_server.auth.certificates import Certificates
from policy_server.auth.proxies import Address, AddressFilter, Proxies
from policy_server.auth.tokens import PREFIX, Tokens
from policy_server.model.errors import Forbidden, NotAuthenticated
from policy_server.model.principal import ANONYMOUS, Principal, Role

if TYPE_CHECKING:
    # PERF: 160 ms, which only servers with issuers need.
    from policy_server.auth.bearer import Bearer
    from policy_server.auth.issuers import Issuers

Environ = Mapping[str, object]


class Gate:
    """Says who asks, and whether they may; safe for threads.

    Without ``tokens`` nobody needs to say who they are: everybody is ``anonymous``, who may
    do everything. ``bearer`` and ``certificates`` count only beside tokens.
    """

    def __init__(
        self,
        *,
        proxies: Proxies,
        tokens: Tokens | None = None,
        bearer: "Bearer | Issuers | None" = None,
        certificates: Certificates | None = None,
        addresses: AddressFilter | None = None,
        everybody: Principal = ANONYMOUS,
    ) -> None:
        """Take the ways that are set up; ``everybody`` is who asks where no credentials are needed."""
        self._proxies = proxies
        self._tokens = tokens
        self._bearer = bearer
        self._certificates = certificates
        self._addresses = addresses
        self._everybody = everybody

    def client(self, environ: Environ) -> Address | None:
        """Return the address of who asks, None when it cannot be known."""
        return self._proxies.client(environ)

    def admit(self, environ: Environ) -> Principal:
        """Return who asks.

        Raises:
            Forbidden: the address is not on the list.
            NotAuthenticated: no credentials, or none that count.
            KeysUnavailable, StoreUnavailable: nobody can tell now.
        """
        if self._addresses is not None and not self._addresses.accepts(self.client(environ)):
            raise Forbidden("This address may not ask here.", kind="address")
        if self._tokens is None:
            return self._everybody
        offered = environ.get("HTTP_AUTHORIZATION")
        if offered:
            # SECURITY: credentials that are wrong are an error, whatever else the request has.
            return self._by_token(self._tokens, _token_of(str(offered)))
        known = self._certificates.identify(environ) if self._certificates is not None else None
        if known is None:
            raise NotAuthenticated("The request has no credentials; send Authorization: Bearer <token>.")
        return known

    def _by_token(self, tokens: Tokens, text: str) -> Principal:
        if text.startswith(PREFIX):
            return tokens.identify(text)
        if self._bearer is None:
            raise NotAuthenticated("The token is not one of this server's.", kind="token")
        return self._bearer.identify(text)


def _token_of(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        raise NotAuthenticated("The Authorization header must be: Bearer <token>.", kind="malformed")
    return token


def require(principal: Principal, role: Role, repository: str | None = None) -> None:
    """Refuse who lacks a role in a repository, or everywhere when none is named; Forbidden says what is missing."""
    if principal.allows(role, repository):
        return
    needed = str(role) if repository is None else f"{role}:{repository}"
    where = "in all repositories" if repository is None else f"in the repository {repository}"
    if not principal.grants:
        raise Forbidden(
            f"The credentials grant nothing on this server; this needs the role {role} {where}.", needed=needed
        )
    raise Forbidden(f"This needs the role {role} {where}.", needed=needed)
