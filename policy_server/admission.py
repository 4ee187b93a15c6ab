"""Sets up who may come in, from the settings."""

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from policy_server.auth.certificates import Certificates, parse_known
from policy_server.auth.gate import Gate
from policy_server.auth.proxies import AddressFilter, Proxies
from policy_server.auth.rules import BearerRules
from policy_server.auth.tokens import Tokens
from policy_server.issuer_settings import TokenIssuer
from policy_server.model.errors import AlreadyExists, PolicyServerError, SettingsError
from policy_server.model.principal import ANONYMOUS, LOCAL, Principal, grants_of
from policy_server.model.status import Status
from policy_server.ports import Clock, Store
from policy_server.settings import Settings

if TYPE_CHECKING:
    from policy_server.auth.bearer import Bearer
    from policy_server.auth.issuers import Issuers
    from policy_server.auth.keys import Keys
    from policy_server.auth.outgoing import ClientCredentials
    from policy_server.net.client import GuardedClient

log = logging.getLogger(__name__)

FIRST: Final = "first-admin"
"""The id of the token that is made when there is none at all."""

FIRST_FILE: Final = "admin-token"
"""Its file in the state directory."""

_SECONDS: Final = 5.0
_LARGEST: Final = 1 << 20
_TICK: Final = 2.0


class Admission:
    """What one process needs to know who asks; each thing is made when it is first asked for."""

    def __init__(self, settings: Settings, store: Callable[[], Store], clock: Clock) -> None:
        """Take the settings, and where tokens and records are kept; nothing is opened."""
        self._settings = settings
        self._store = store
        self._clock = clock

    @cached_property
    def tokens(self) -> Tokens:
        """The API tokens."""
        store = self._store()
        return Tokens(store.tokens, store.audit, self._clock)

    @cached_property
    def proxies(self) -> Proxies:
        """The proxies in front of us."""
        return Proxies(self._settings.trusted_proxies)

    @cached_property
    def keys(self) -> "Keys | None":
        """The keys of issuers; None when none are set."""
        sources = [*self._settings.auth_jwk_url]
        if self._settings.auth_jwk_file is not None:
            sources.append(str(self._settings.auth_jwk_file))
        if not sources or not self._settings.auth_enabled:
            return None
        # PERF: takes 160 ms to import, which a server without JSON Web Tokens need not wait for.
        from policy_server.auth.keys import Keys  # noqa: PLC0415

        interval = self._settings.auth_refresh_interval
        return Keys(sources, self._read_keys, self._clock, time.monotonic, interval=interval)

    @cached_property
    def rings(self) -> "Mapping[str, Keys]":
        """All keys: those of each issuer by its name, and those of issuers that have none."""
        found = {} if self.keys is None else {"": self.keys}
        issuers = self._settings.token_issuers.items if self._settings.auth_enabled else ()
        if not issuers:
            return found
        from policy_server.auth.keys import Keys  # noqa: PLC0415 - as above

        interval = self._settings.auth_refresh_interval
        return found | {
            each.name: Keys(
                [each.name], partial(self._read_issuer, each), self._clock, time.monotonic, interval=interval
            )
            for each in issuers
        }

    def keys_status(self) -> Status:
        """Return how the keys are doing, issuer by issuer."""
        from policy_server.auth.issuers import summed  # noqa: PLC0415 - as above

        return summed((name, keys.status()) for name, keys in self.rings.items())

    @cached_property
    def bearer(self) -> "Bearer | Issuers | None":
        """Who checks JSON Web Tokens; None when no keys are set."""
        issuers = self._settings.token_issuers.items
        if not issuers or not self._settings.auth_enabled:
            return self._others
        from policy_server.auth.bearer import Bearer  # noqa: PLC0415 - as above
        from policy_server.auth.issuers import Issuers  # noqa: PLC0415 - as above

        skew = self._settings.auth_clock_skew
        known = {each.issuer: Bearer(self.rings[each.name], rules_of(each, skew), self._clock) for each in issuers}
        return Issuers(known, self._others)

    @cached_property
    def _others(self) -> "Bearer | None":
        """Who checks tokens of issuers without a table of their own."""
        if self.keys is None:
            return None
        from policy_server.auth.bearer import Bearer  # noqa: PLC0415 - as above

        settings = self._settings
        rules = BearerRules(
            algorithms=settings.auth_algorithms,
            issuers=settings.auth_issuers,
            audiences=settings.auth_audiences,
            skew=settings.auth_clock_skew,
            scope_claim=(settings.auth_scope_claim,),
            default_grants=grants_of(settings.auth_default_scopes),
        )
        return Bearer(self.keys, rules, self._clock)

    @cached_property
    def outgoing(self) -> "ClientCredentials | None":
        """Tokens for requests to others; None when no issuer is set."""
        settings = self._settings
        if not settings.oauth_token_url:
            return None
        from policy_server.auth.outgoing import ClientCredentials  # noqa: PLC0415 - few need it

        secret = settings.oauth_client_secret
        return ClientCredentials(
            self._client(settings.oauth_token_url),
            url=settings.oauth_token_url,
            client_id=settings.oauth_client_id,
            client_secret="" if secret is None else secret.get_secret_value(),
            scope=settings.oauth_scope,
            elapsed=time.monotonic,
        )

    @cached_property
    def certificates(self) -> Certificates:
        """The client certificates that are known."""
        settings = self._settings
        return Certificates(
            parse_known(settings.auth_certificates),
            self.proxies,
            subject_header=settings.auth_subject_header,
            fingerprint_header=settings.auth_fingerprint_header,
        )

    def gate(self, *, local: bool = False) -> Gate:
        """Return who says who asks; ``local`` for commands, which work on the store itself."""
        settings = self._settings
        if local or not settings.auth_enabled:
            everybody: Principal = LOCAL if local else ANONYMOUS
            return Gate(proxies=self.proxies, addresses=None if local else self._addresses(), everybody=everybody)
        return Gate(
            proxies=self.proxies,
            tokens=self.tokens,
            bearer=self.bearer,
            certificates=self.certificates,
            addresses=self._addresses(),
        )

    def watch(self, stop: threading.Event) -> None:
        """Refresh keys and note which tokens were used, until told to stop."""
        while not stop.is_set():
            self.tick()
            stop.wait(_TICK)
        self.tick()

    def tick(self) -> None:
        """Do what is due."""
        try:
            for keys in self.rings.values():
                if keys.is_due():
                    keys.refresh()
            self.tokens.flush()
        except PolicyServerError as error:
            log.warning("uses of tokens are not noted: %s", error.message, extra={"action": "tokens.failed"})

    def _addresses(self) -> AddressFilter | None:
        settings = self._settings
        return AddressFilter(settings.ip_filter_allowed_ips) if settings.ip_filter_enable else None

    def _client(self, url: str, ca_file: Path | None = None) -> "GuardedClient":
        """Make a client; the host that the operator named may be in a private network."""
        from policy_server.net.client import GuardedClient  # noqa: PLC0415 - commands look at this module too
        from policy_server.net.guard import NetworkGuard  # noqa: PLC0415 - as above

        host = urlsplit(url).hostname
        guard = NetworkGuard((*self._settings.allowed_networks, *([host] if host else [])))
        return GuardedClient(
            guard,
            connect_timeout=_SECONDS,
            read_timeout=_SECONDS,
            deadline=_SECONDS,
            max_bytes=_LARGEST,
            ca_file=ca_file or self._settings.auth_ca_file,
        )

    def _read_keys(self, source: str) -> bytes:
        from policy_server.auth.discovery import fetch_keys  # noqa: PLC0415 - as above
        from policy_server.auth.keys import read_file  # noqa: PLC0415 - as above

        if not source.startswith(("http://", "https://")):
            return read_file(source)
        return fetch_keys(self._client(source), source)

    def _read_issuer(self, issuer: TokenIssuer, _name: str) -> bytes:
        """Return the keys of an issuer from its address, its file, or where its discovery document says."""
        from policy_server.auth.discovery import discover_keys, fetch_keys  # noqa: PLC0415 - as above
        from policy_server.auth.keys import read_file  # noqa: PLC0415 - as above

        if issuer.jwk_file is not None:
            return read_file(str(issuer.jwk_file))
        client = self._client(issuer.jwk_url or issuer.issuer, issuer.ca_file)
        return fetch_keys(client, issuer.jwk_url) if issuer.jwk_url else discover_keys(client, issuer.issuer)


def rules_of(issuer: TokenIssuer, skew: float) -> BearerRules:
    """Return what its tokens must be like, and what they get at most; ``skew`` is in seconds."""
    return BearerRules(
        algorithms=issuer.algorithms,
        issuers=(issuer.issuer,),
        audiences=issuer.audiences,
        skew=skew,
        scope_claim=issuer.scope_claim,
        default_grants=grants_of(issuer.default_scopes),
        roles={word: grants_of(scopes) for word, scopes in issuer.roles} if issuer.roles else None,
        ceiling=grants_of(issuer.limit),
        named=issuer.name,
    )


def announce(file: Path | None) -> None:
    """Tell the log where the first token is."""
    if file is not None:
        log.warning("an admin token was made; it is in %s", file, extra={"action": "token.first"})


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host; an empty one is every interface."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(settings: Settings) -> None:
    """Refuse at the start what would be noticed too late; SettingsError says how to mend it."""
    check_exposure(settings)
    issuers = settings.token_issuers.items
    named = [("POLICY_AUTH_CA_FILE", settings.auth_ca_file)]
    named += [(f"ca_file of {each.name} in POLICY_TOKEN_ISSUERS", each.ca_file) for each in issuers]
    for name, file in named:
        if file is not None:
            _check_authorities(name, file)


def _check_authorities(name: str, file: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise SettingsError(f"{name} must name a file with certificates (PEM), and {file} has none") from error
    except OSError as error:
        raise SettingsError(f"{name} names {file}, which cannot be read: {error.strerror}") from error


def check_exposure(settings: Settings) -> None:
    """Refuse to be open to others by accident; SettingsError says how to mend it."""
    if settings.auth_enabled or settings.allow_anonymous or is_loopback(settings.host):
        return
    raise SettingsError(
        f"listening on {settings.bind} would let everybody who reaches it evaluate and change policies; "
        "set POLICY_AUTH_ENABLED=true, or --allow-anonymous (POLICY_ALLOW_ANONYMOUS=true) if that is meant"
    )


def remarks(settings: Settings) -> Iterator[str]:
    """Yield sentences about settings that do less than they seem to."""
    keys = bool(settings.auth_jwk_url) or settings.auth_jwk_file is not None
    if not settings.auth_enabled and (keys or settings.token_issuers.items or settings.auth_certificates):
        yield "keys and certificates of callers have no effect without POLICY_AUTH_ENABLED=true"
    if settings.auth_enabled and keys and not settings.auth_audiences:
        yield "POLICY_AUTH_AUDIENCES is empty: tokens that the issuer made for other services count here too"
    if settings.auth_certificates and not settings.trusted_proxies:
        yield "POLICY_AUTH_CERTIFICATES has no effect without POLICY_TRUSTED_PROXIES"
    if settings.ip_filter_enable and not settings.ip_filter_allowed_ips:
        yield "POLICY_IP_FILTER_ALLOWED_IPS is empty: nobody gets through"


def first_token(settings: Settings, tokens: Tokens) -> Path | None:
    """Make an admin token when nobody could come in otherwise; return the file it is in, None when none was made.

    Nobody could when credentials are asked for, there is no token in the store, and no issuer or certificate is set.
    """
    keys = settings.auth_jwk_url or settings.auth_jwk_file or settings.token_issuers.items
    others = keys or settings.auth_certificates
    if not settings.auth_enabled or others or tokens.all():
        return None
    file = settings.state_dir / FIRST_FILE
    try:
        minted = tokens.create("first admin", ["admin"], by="first start", id_=FIRST)
    except AlreadyExists:
        return None  # another machine on the same store was first
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as target:
        target.write(minted.text + "\n")
    return file
