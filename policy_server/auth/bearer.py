"""Checks JSON Web Tokens: signature, issuer, audience, times, and what they grant (RFC 7519, RFC 8725)."""

import binascii
import hashlib
import threading
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from policy_server.auth.keys import Keys
from policy_server.auth.rules import ALGORITHMS, BearerRules
from policy_server.model.errors import NotAuthenticated
from policy_server.model.principal import Grant, Principal, bounded, grants_of
from policy_server.ports import Clock

if TYPE_CHECKING:
    # The library does not export the type that its own extension point returns.
    from joserfc._rfc7515.model import JWSAlgModel

LONGEST: Final = 8192
"""Bytes of a token; a longer one is refused unread."""

REMEMBERED: Final = 1024
"""Tokens that are not checked again until they run out."""

_FAR: Final = 1e15
"""Seconds; no date of ours is that far, infinity and NaN are not within it."""

Claims = Mapping[str, object]


class _Registry(JWSRegistry):
    """The library's registry, for tokens as large as ours, whose header may say more than we read."""

    max_header_length = LONGEST
    max_payload_length = LONGEST
    max_signature_length = LONGEST

    def get_alg(self, name: str) -> "JWSAlgModel":
        """Return an allowed algorithm, without the library's warning about the name EdDSA."""
        if not self.allowed or name not in self.allowed:
            raise NotAuthenticated(
                f"The token is signed with {name[:20]!r}, which is not allowed here.", kind="algorithm"
            )
        return self.algorithms[name]


class Bearer:
    """Turns a token into a principal; safe for threads.

    PERF: a signature costs 30 to 300 µs; a token that was good is remembered by its
    SHA-256 until it runs out or the keys change.
    """

    def __init__(self, keys: Keys, rules: BearerRules, clock: Clock) -> None:
        """Take keys and rules."""
        unknown = set(rules.algorithms) - set(ALGORITHMS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be allowed")
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._registry = _Registry(algorithms=list(rules.algorithms), strict_check_header=False)
        self._known: OrderedDict[bytes, tuple[Principal, float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def identify(self, token: str) -> Principal:
        """Return whose token it is.

        Raises:
            NotAuthenticated: it does not count, with the reason.
            KeysUnavailable: it cannot be checked.
        """
        if len(token) > LONGEST:
            raise NotAuthenticated(f"The token is longer than {LONGEST} bytes.", kind="malformed")
        now = self._clock().timestamp()
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        remembered = self._recall(digest, now)
        if remembered is not None:
            return remembered
        number, claims = self._verified(token)
        until = self._check(claims, now)
        principal = self._principal(claims)
        self._remember(digest, (principal, until, number))
        return principal

    def _recall(self, digest: bytes, now: float) -> Principal | None:
        with self._lock:
            found = self._known.get(digest)
            if found is None:
                return None
            principal, until, number = found
            if now < until and number == self._keys.current().number:
                self._known.move_to_end(digest)
                return principal
            del self._known[digest]
        return None

    def _remember(self, digest: bytes, entry: tuple[Principal, float, int]) -> None:
        with self._lock:
            self._known[digest] = entry
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _verified(self, token: str) -> tuple[int, Claims]:
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            raise NotAuthenticated("The token is signed in a way that is not allowed here.", kind="algorithm")
        if not isinstance(kid, str) or not kid:
            raise NotAuthenticated("The token does not say which key signed it (kid).", kind="key")
        if "crit" in header or "b64" in header:
            raise NotAuthenticated("The token demands an extension that is not known here.", kind="malformed")
        # Before the key is looked for: one that is withdrawn at this moment must not be remembered with the next set.
        number = self._keys.current().number
        key = self._keys.find(kid)
        if key is None or key.get("alg") not in {None, algorithm}:
            raise NotAuthenticated("The token is signed with a key that is not the issuer's.", kind="key")
        try:
            checked = jws.deserialize_compact(token, key, registry=self._registry)
            return number, msgspec.json.decode(checked.payload, type=dict[str, object])
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise NotAuthenticated("The signature of the token is not right.", kind="signature") from error

    def _check(self, claims: Claims, now: float) -> float:
        """Check times, issuer and audience; return until when it counts."""
        rules = self._rules
        expires = _moment(claims, "exp")
        if expires is None:
            raise NotAuthenticated("The token has no end (exp).", kind="expired")
        if now >= expires + rules.skew:
            raise NotAuthenticated("The token has run out.", kind="expired")
        begins = _moment(claims, "nbf")
        if begins is not None and now < begins - rules.skew:
            raise NotAuthenticated("The token does not count yet (nbf).", kind="early")
        if rules.issuers and claims.get("iss") not in rules.issuers:
            raise NotAuthenticated("The token is of an issuer that is not trusted here.", kind="issuer")
        if rules.audiences and not _texts(claims.get("aud")) & set(rules.audiences):
            raise NotAuthenticated("The token is for another audience.", kind="audience")
        return expires + rules.skew

    def _principal(self, claims: Claims) -> Principal:
        named = (claims.get(name) for name in ("sub", "client_id", "azp"))
        who = next((name for name in named if isinstance(name, str) and name), "unnamed")
        # SECURITY: two issuers may give one name to two people. A name of ours has no colon or slash.
        kind = f"jwt/{self._rules.named}" if self._rules.named else "jwt"
        return Principal(f"{kind}:{who[:200]}", self._granted(claims))

    def _granted(self, claims: Claims) -> tuple[Grant, ...]:
        rules = self._rules
        words = _scopes(_dig(claims, rules.scope_claim))
        if rules.roles is None:
            grants = grants_of(words)
        else:
            grants = tuple(dict.fromkeys(grant for word in words for grant in rules.roles.get(word, ())))
        grants = grants or rules.default_grants
        return grants if rules.ceiling is None else bounded(grants, rules.ceiling)


def _header(token: str) -> Claims:
    """Read the first of three parts; NotAuthenticated when it is not so."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise NotAuthenticated("The token is no JSON Web Token.", kind="malformed")
    try:
        text = urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4))
        return cast(Claims, msgspec.json.decode(text, type=dict[str, object]))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise NotAuthenticated("The token is no JSON Web Token.", kind="malformed") from error


def _moment(claims: Claims, name: str) -> float | None:
    """Return a time in Unix seconds; None when absent, NotAuthenticated when it is no number."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR < value < _FAR:
        raise NotAuthenticated(f"The token's {name} is no time.", kind="malformed")
    return float(value)


def _texts(value: object) -> set[str]:
    """Return one text, or those of a list."""
    return {text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)}


def _dig(claims: Claims, path: tuple[str, ...]) -> object:
    """Return what lies at the end of some names.

    A single ``realm_access.roles`` is two of them, unless a claim is called so.
    """
    if len(path) == 1 and path[0] not in claims:
        path = tuple(path[0].split("."))
    value: object = claims
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _scopes(value: object) -> Sequence[str]:
    """Return scopes of a text with spaces (RFC 8693) or of a list."""
    if isinstance(value, str):
        return value.split()
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
