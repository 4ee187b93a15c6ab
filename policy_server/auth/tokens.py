"""API tokens: made at random, shown once, kept as digests."""

import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from policy_server.audit.journal import Journal, entitled
from policy_server.model.access import ApiToken
from policy_server.model.errors import InvalidParameter, NotAuthenticated, Problem, StoreUnavailable
from policy_server.model.principal import Principal, grants_of, parse_grant
from policy_server.ports import AuditStore, Clock, TokenStore

log = logging.getLogger(__name__)

PREFIX: Final = "pst_"
"""Begins every token, so that scanners for leaked secrets can find them."""

FORM: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
LONGEST_NAME: Final = 100
MOST_SCOPES: Final = 50
LONGEST_LIFE: Final = timedelta(days=3660)

FRESH: Final = timedelta(seconds=1)
"""How long a token is not looked up again: a revoked one is refused everywhere this much later."""

STALE: Final = timedelta(minutes=10)
"""How long a token that was good counts while the store cannot be reached: decisions go on meanwhile."""

NOTED: Final = timedelta(minutes=1)
"""How often it is written at most that a token was used."""

REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token: what is kept, and the text that is shown once."""

    kept: ApiToken
    text: str = field(repr=False)


def digest_of(text: str) -> str:
    """Return what is kept of a token. It has 256 random bits: no salt and no slow hash are needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(slots=True)
class _Seen:
    token: ApiToken
    looked: datetime


class Tokens:
    """Makes, knows and revokes API tokens; safe for threads.

    PERF: a token that was seen within a second is not looked up in the store, and
    that it was used is written by ``flush``, which a background thread calls.
    """

    def __init__(self, store: TokenStore, records: AuditStore, clock: Clock) -> None:
        """Take where tokens are kept, and where it is recorded who made and revoked them."""
        self._store = store
        self._journal = Journal(records, clock)
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._used: dict[str, tuple[str, datetime]] = {}
        self._lock = threading.Lock()

    def create(
        self, name: str, scopes: Sequence[str], *, by: str, expires_at: datetime | None = None, id_: str | None = None
    ) -> Minted:
        """Make a token; InvalidParameter names what is wrong, AlreadyExists when ``id_`` is taken."""
        now = self._clock()
        problems = _problems(name, scopes, expires_at, now)
        if problems:
            raise InvalidParameter("; ".join(problem.message for problem in problems), problems=problems)
        text = PREFIX + secrets.token_urlsafe(32)
        kept = ApiToken(
            id=id_ or f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(4)}",
            name=name,
            digest=digest_of(text),
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=now,
            created_by=by,
            expires_at=expires_at,
        )
        with self._journal.change("create-token", f"token/{kept.id}", actor=by, after=_rights(kept)):
            self._store.add(kept)
        log.info("a token was made", extra={"action": "token.created", "id": kept.id, "by": by})
        return Minted(kept, text)

    def all(self) -> Sequence[ApiToken]:
        """Return all, ordered by id."""
        return self._store.all()

    def revoke(self, token: str, *, by: str) -> ApiToken:
        """Make a token useless: here at once, elsewhere within a second. Unknown: TokenNotFound."""
        revoked = self._revoked(token, by)
        with self._lock:
            self._seen.pop(revoked.digest, None)
        log.info("a token was revoked", extra={"action": "token.revoked", "id": revoked.id, "by": by})
        return revoked

    def _revoked(self, token: str, by: str) -> ApiToken:
        known = next((each for each in self._store.all() if each.id == token and each.revoked_at is None), None)
        if known is None:
            # Unknown, or of no use already: what changes nothing leaves no record.
            return self._store.revoke(token, self._clock())
        with self._journal.change("revoke-token", f"token/{token}", actor=by, before=_rights(known)):
            return self._store.revoke(token, self._clock())

    def identify(self, text: str) -> Principal:
        """Return whose token it is; NotAuthenticated when it does not count, StoreUnavailable when none can tell."""
        if not FORM.fullmatch(text):
            raise NotAuthenticated("The token is not one of this server's.", kind="token")
        now, digest = self._clock(), digest_of(text)
        token = self._find(digest, now)
        if token is None or not hmac.compare_digest(token.digest, digest):
            raise NotAuthenticated("The token is not one of this server's.", kind="token")
        if token.revoked_at is not None:
            raise NotAuthenticated("The token was revoked.", kind="revoked")
        if token.expires_at is not None and now >= token.expires_at:
            raise NotAuthenticated("The token has run out.", kind="expired")
        self._note(token, now)
        return Principal(f"token:{token.name}", grants_of(token.scopes))

    def flush(self) -> None:
        """Write which tokens were used since; StoreUnavailable leaves the rest for the next time."""
        for digest, (token, at) in list(self._used.items()):
            self._store.touch(token, at)
            with self._lock:
                self._used.pop(digest, None)
                seen = self._seen.get(digest)
                if seen is not None:
                    seen.token = replace(seen.token, last_used_at=at)

    def _note(self, token: ApiToken, at: datetime) -> None:
        """Remember that a token was used, unless that was written within a minute, by whichever process."""
        written = token.last_used_at
        if written is None or at - written >= NOTED:
            with self._lock:
                self._used[token.digest] = (token.id, at)

    def _find(self, digest: str, now: datetime) -> ApiToken | None:
        with self._lock:
            seen = self._seen.get(digest)
        if seen is not None and now - seen.looked < FRESH:
            return seen.token
        try:
            token = self._store.by_digest(digest)
        except StoreUnavailable:
            if seen is None or now - seen.looked > STALE:
                raise
            return seen.token
        with self._lock:
            if token is None:
                self._seen.pop(digest, None)
                return None
            self._seen[digest] = _Seen(token, now)
            self._seen.move_to_end(digest)
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return token


def _rights(token: ApiToken) -> str:
    return entitled(token.name, token.scopes, token.expires_at)


def _problems(name: str, scopes: Sequence[str], expires_at: datetime | None, now: datetime) -> list[Problem]:
    found = []
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        found.append(_problem("/name", f"the name must have 1 to {LONGEST_NAME} printable characters"))
    if not 0 < len(scopes) <= MOST_SCOPES:
        found.append(
            _problem("/scopes", f"a token needs 1 to {MOST_SCOPES} scopes, such as evaluate or read:repository")
        )
    for index, scope in enumerate(scopes[:MOST_SCOPES]):
        try:
            parse_grant(scope)
        except ValueError as error:
            found.append(_problem(f"/scopes/{index}", str(error)))
    if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
        found.append(_problem("/expires_at", f"the end must lie in the next {LONGEST_LIFE.days} days"))
    return found


def _problem(pointer: str, message: str) -> Problem:
    return Problem(message, code="invalid-parameter", parameter=pointer)
