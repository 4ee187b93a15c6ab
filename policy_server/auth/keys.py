"""The public keys of the issuers of tokens: fetched, refreshed, kept when the issuer is away."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from policy_server.model.errors import FetchError, KeysUnavailable, PolicyServerError
from policy_server.model.status import State, Status
from policy_server.ports import Clock

log = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey | OKPKey
Read = Callable[[str], bytes]
"""Returns the bytes behind an address; raises an error of ours when there are none."""

PAUSE: Final = 10.0
"""Seconds between two fetches that unknown key ids cause, at least; it doubles while they fail."""

LONGEST_PAUSE: Final = 60.0
WAIT: Final = 2.0
"""Seconds a request may wait for a fetch that another one has begun."""

SMALLEST_RSA: Final = 2048
"""Bits; NIST SP 800-131A."""

MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their id; ``number`` grows with every set that differs from the one before."""

    keys: Mapping[str, PublicKey]
    number: int = 0


def read_keys(text: bytes) -> dict[str, PublicKey]:
    """Read a JWKS; keys that cannot check signatures here are left out. FetchError when it is no JWKS."""
    try:
        document = msgspec.json.decode(text, type=dict)
        entries = document["keys"]
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise FetchError("The answer is no JSON Web Key Set (RFC 7517).") from error
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise FetchError(f"The key set has no list of at most {MOST_KEYS} keys.")
    found = {}
    for entry in entries:
        key = _read_key(entry)
        if key is not None:
            found[cast(str, entry["kid"])] = key
    return found


def _read_key(entry: object) -> PublicKey | None:
    """Return one usable key: asymmetric, with an id, for signatures, of decent size."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or not entry["kid"]:
        return None
    operations = entry.get("key_ops")
    if entry.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return None
    if entry.get("kty") not in {"RSA", "EC", "OKP"}:  # SECURITY: no shared secrets
        return None
    if entry["kty"] == "RSA" and len(str(entry.get("n"))) * 6 < SMALLEST_RSA:
        return None
    public = {name: value for name, value in entry.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}
    try:
        key = JWKRegistry.import_key(public)
        native = key.public_key
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key, RSAKey) and getattr(native, "key_size", 0) < SMALLEST_RSA:
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


class Keys:
    """Holds the newest good set of each source.

    ``elapsed`` is a clock that only goes forward, in seconds. Safe for threads:
    one of them fetches, others wait for it a while.
    """

    def __init__(
        self, sources: Sequence[str], read: Read, clock: Clock, elapsed: Callable[[], float], *, interval: float
    ) -> None:
        """Take addresses (or paths), how to read them and how often, in seconds; nothing is fetched yet."""
        self._sources = tuple(sources)
        self._read = read
        self._clock = clock
        self._elapsed = elapsed
        self._interval = interval
        self._by_source: dict[str, dict[str, PublicKey]] = {}
        self._set: KeySet | None = None
        self._fetching = threading.Lock()
        self._pause = PAUSE
        self._asked: float | None = None
        self._refreshed: float | None = None
        self._status = Status(State.STARTING, "no keys were fetched yet", clock())

    def status(self) -> Status:
        """Return how the keys are doing."""
        return self._status

    def current(self) -> KeySet:
        """Return the set in force, fetched when there is none yet; KeysUnavailable when that fails."""
        if self._set is None:
            self._ask()
        if self._set is None:
            raise KeysUnavailable
        return self._set

    def find(self, kid: str) -> PublicKey | None:
        """Return a key; an id that is not known makes the sources be asked, but not all the time."""
        found = self.current().keys.get(kid)
        if found is None and self._ask():
            found = self.current().keys.get(kid)
        return found

    def is_due(self) -> bool:
        """Tell whether it is time to refresh; failures are tried again sooner."""
        if self._refreshed is None:
            return True
        wait = self._interval if self._status.state is State.READY else min(self._interval, LONGEST_PAUSE)
        return self._elapsed() - self._refreshed >= wait

    def refresh(self) -> None:
        """Ask all sources now; what cannot be read keeps the keys it had."""
        with self._fetching:
            self._fetch()

    def _ask(self) -> bool:
        """Fetch because a request needs it; False when that was done a moment ago."""
        before = self._asked
        if before is not None and self._elapsed() - before < self._pause:
            # Another request may be fetching at this moment: what it brings is what we need.
            if self._fetching.locked() and self._fetching.acquire(timeout=WAIT):
                self._fetching.release()
                return True
            return False
        if not self._fetching.acquire(timeout=WAIT):
            return False
        try:
            if self._asked == before:
                self._asked = self._elapsed()
                good = self._fetch()
                self._pause = PAUSE if good else min(2 * self._pause, LONGEST_PAUSE)
            return True
        finally:
            self._fetching.release()

    def _fetch(self) -> bool:
        failed = ""
        for source in self._sources:
            try:
                keys = read_keys(self._read(source))
                if not keys:
                    raise FetchError(f"{source} has no key that can be used here.")
                self._by_source[source] = keys
            except PolicyServerError as error:
                failed = error.message
                log.warning("keys of the issuer: %s", failed, extra={"action": "keys.failed", "issuer": source})
        self._refreshed = self._elapsed()
        joined = {kid: key for keys in self._by_source.values() for kid, key in keys.items()}
        if joined and (self._set is None or _thumbs(joined) != _thumbs(self._set.keys)):
            self._set = KeySet(joined, 1 if self._set is None else self._set.number + 1)
        state = State.DEGRADED if failed else State.READY
        self._become(state, failed or f"{len(joined)} keys")
        return not failed

    def _become(self, state: State, message: str) -> None:
        at: datetime = self._clock()
        if (self._status.state, self._status.message) != (state, message):
            self._status = Status(state, message, at)


def _thumbs(keys: Mapping[str, PublicKey]) -> dict[str, str]:
    return {kid: key.thumbprint() for kid, key in keys.items()}


def read_file(path: str) -> bytes:
    """Return a JWKS file; FetchError when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}.") from error
