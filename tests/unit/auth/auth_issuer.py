"""An issuer of tokens: keys made here, and a real HTTP server that publishes them."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from policy_server.auth.keys import Keys
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

Key = RSAKey | ECKey | OKPKey | OctKey
NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)


class Lenient(JWSRegistry):
    """Signs whatever it is told to, under the old name EdDSA too."""

    def get_alg(self, name):
        """Return any algorithm, without a warning."""
        return self.algorithms[name]


LENIENT = Lenient(strict_check_header=False)


def make_key(kid: str, kind: str = "EC", **more: str) -> Key:
    """Make a key pair; Ed25519, RSA or P-256."""
    parameters = {"kid": kid, **more}
    if kind == "RSA":
        return RSAKey.generate_key(2048, parameters)
    if kind == "OKP":
        return OKPKey.generate_key("Ed25519", parameters)
    return ECKey.generate_key("P-256", parameters)


def sign(key: Key, claims: object, *, alg: str = "ES256", **header: object) -> str:
    """Sign claims; a header value of None is left out."""
    protected = {name: value for name, value in {"alg": alg, "kid": key.kid, **header}.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(protected, payload, key, registry=LENIENT)


def claims(**more: object) -> dict[str, object]:
    """Return claims that are good at NOW; None leaves one out."""
    good: dict[str, object] = {
        "iss": "https://issuer.example",
        "aud": "policies",
        "sub": "alice",
        "exp": NOW.timestamp() + 300,
        "scope": "openid evaluate read:mine",
    }
    return {name: value for name, value in (good | more).items() if value is not None}


@dataclass
class Time:
    """A clock that stands until it is moved; wall clock and seconds alike."""

    seconds: float = 0.0

    def __call__(self) -> datetime:
        """Return the moment."""
        return datetime.fromtimestamp(NOW.timestamp() + self.seconds, UTC)

    def elapsed(self) -> float:
        """Return seconds that only go forward."""
        return self.seconds


@dataclass
class Issuer:
    """Publishes keys under ``/keys`` and counts who asked."""

    server: HTTPServer
    keys: list[object] = field(default_factory=list)
    status: int = 200
    asked: int = 0
    delay: float = 0.0

    def __post_init__(self) -> None:
        """Answer."""
        self.server.expect_request("/keys").respond_with_handler(self._answer)

    @property
    def url(self) -> str:
        """Where the keys are."""
        return self.server.url_for("/keys")

    def publish(self, keys: Iterable[object]) -> None:
        """Publish other keys from now on; private parts stay here."""
        self.keys = [key.as_dict(private=False) if isinstance(key, RSAKey | ECKey | OKPKey) else key for key in keys]

    def _answer(self, _request: Request) -> Response:
        self.asked += 1
        time.sleep(self.delay)
        return Response(json.dumps({"keys": self.keys}), status=self.status, mimetype="application/json")

    def reader(self, time_: Time, *, interval: float = 3600.0) -> Keys:
        """Return who holds these keys, with the real client."""
        client = GuardedClient(NetworkGuard(["127.0.0.1", "localhost"]), deadline=5.0)

        def read(url: str) -> bytes:
            fetched = client.fetch("GET", url)
            return fetched.body if fetched.status == 200 else b"no"

        return Keys([self.url], read, time_, time_.elapsed, interval=interval)
