"""Sets up who may come in, from the settings."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from policy_server.auth.certificates import Certificates, parse_known
from policy_server.auth.gate import Gate
from policy_server.auth.proxies import AddressFilter, Proxies
from policy_server.auth.rules import BearerRules
from policy_server.auth.tokens import Tokens
from policy_server.model.errors import AlreadyExists, FetchError, PolicyServerError, SettingsError
from policy_server.model.principal import ANONYMOUS, LOCAL, Principal, grants_of
from policy_server.ports import Clock, Store
from policy_server.settings import Settings

if TYPE_CHECKING:
    from policy_server.auth.bearer import Bearer
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
    def bearer(self) -> "Bearer | None":
        """Who checks JSON Web Tokens; None when no keys are set."""
        if self.keys is None:
            return None
        from policy_server.auth.bearer import Bearer  # noqa: PLC0415 - as above

        settings = self._settings
        rules = BearerRules(
            algorithms=settings.auth_algorithms,
            issuers=settings.auth_issuers,
            audiences=settings.auth_audiences,
            skew=settings.auth_clock_skew,
            scope_claim=settings.auth_scope_claim,
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
            if self.keys is not None and self.keys.is_due():
                self.keys.refresh()
            self.tokens.flush()
        except PolicyServerError as error:
            log.warning("uses of tokens are not noted: %s", error.message, extra={"action": "tokens.failed"})

    def _addresses(self) -> AddressFilter | None:
        settings = self._settings
        return AddressFilter(settings.ip_filter_allowed_ips) if settings.ip_filter_enable else None

    def _client(self, url: str) -> "GuardedClient":
        """Make a client; the host that the operator named may be in a private network."""
        from policy_server.net.client import GuardedClient  # noqa: PLC0415 - commands look at this module too
        from policy_server.net.guard import NetworkGuard  # noqa: PLC0415 - as above

        host = urlsplit(url).hostname
        guard = NetworkGuard((*self._settings.allowed_networks, *([host] if host else [])))
        return GuardedClient(
            guard, connect_timeout=_SECONDS, read_timeout=_SECONDS, deadline=_SECONDS, max_bytes=_LARGEST
        )

    def _read_keys(self, source: str) -> bytes:
        from policy_server.auth.keys import read_file  # noqa: PLC0415 - as above

        if not source.startswith(("http://", "https://")):
            return read_file(source)
        answer = self._client(source).fetch("GET", source, headers={"Accept": "application/json"})
        if answer.status != 200:
            raise FetchError(f"The issuer's keys cannot be fetched: {source} answers {answer.status}.")
        return answer.body


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
    if not settings.auth_enabled and (keys or settings.auth_certificates):
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
    others = settings.auth_jwk_url or settings.auth_jwk_file or settings.auth_certificates
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
