"""One server that plays all neighbours of the policy service, on loopback, and remembers what it was asked.

Their paths do not collide. The signer's keys are made up: its proofs are digests under a secret, which is
enough to tell a right one from a wrong one.
"""

import hashlib
import hmac
import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

KEYS = {
    "key1": {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"},
    "key2": {"kty": "RSA", "n": "n", "e": "AQAB"},
    "key3": {"kty": "OKP", "crv": "Ed25519", "x": "x"},
}
SCHEME, LIST, TRUSTED = "did:web:scheme.example.org", "https://scheme.example.org/vc", "did:web:notary.example.com"
SUBJECTS = ({"given": "Ada", "mail": "old@example.com"}, {"mail": "ada@example.com"})


@dataclass(frozen=True)
class Got:
    """A request as it arrived; ``path`` with the query."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> object:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is answered: a status, and a JSON value or bytes as they are."""

    status: int
    value: object = b""
    headers: Mapping[str, str] | None = None

    @property
    def body(self) -> bytes:
        """The bytes of the answer."""
        return self.value if isinstance(self.value, bytes) else json.dumps(self.value).encode()


class Neighbours:
    """Cache, resolvers of DIDs and trust lists, task service, signer, OCM and an issuer of tokens in one.

    ``requests`` are all that came. ``answer`` replaces every answer, ``hang`` makes it keep silent until
    it is closed.
    """

    def __init__(self) -> None:
        self.requests: list[Got] = []
        self.answer: Callable[[Got], Answer] | None = None
        self._cache: dict[str, object] = {}
        self._hanging = False
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def fail(self, status: int, value: object = b"", **headers: str) -> None:
        """Answer everything like this from now on."""
        self.answer = lambda _got: Answer(status, value, headers)

    def hang(self) -> None:
        """Answer nothing from now on."""
        self._hanging = True

    def close(self) -> None:
        """Stop."""
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, got: Got) -> Answer:
        if self._hanging:
            self._released.wait(30)
        if self.answer is not None:
            return self.answer(got)
        parts = urlsplit(got.path)
        for method, pattern, work in ROUTES:
            found = re.fullmatch(pattern, parts.path)
            if method == got.method and found is not None:
                return work(self, got, [unquote(each) for each in found.groups()])
        return Answer(404, {"message": "no such route"})

    def _get_cached(self, got: Got, _: list[str]) -> Answer:
        key = _cache_key(got)
        if key in self._cache:
            return Answer(200, self._cache[key])
        return Answer(404, {"id": "JN2c1f4SmpLCVJq8", "kind": 5, "message": "key not found in cache"})

    def _put_cached(self, got: Got, _: list[str]) -> Answer:
        self._cache[_cache_key(got)] = got.json
        return Answer(201)

    def _resolve(self, _: Got, given: list[str]) -> Answer:
        if given[0].startswith("did:key:"):
            return Answer(200, {"didDocument": {"id": given[0]}, "didResolutionMetadata": {}})
        return Answer(404, {"didDocument": None, "didResolutionMetadata": {"error": "notFound"}})

    def _task(self, _: Got, given: list[str]) -> Answer:
        name = "taskID" if given[0] == "task" else "taskListID"
        return Answer(200 if given[0] == "task" else 201, {name: str(uuid.uuid5(uuid.NAMESPACE_URL, given[1]))})

    def _methods(self, _: Got, given: list[str]) -> Answer:
        namespace, did = given[0], given[-1]
        if namespace != "transit":
            return Answer(404, {"message": "no such namespace"})
        every = {name: _method(did, name) for name in KEYS}
        if len(given) == 2:
            return Answer(200, list(every.values()))
        return Answer(200, every[given[1]]) if given[1] in every else Answer(404, {"message": "no such key"})

    def _sign(self, got: Got, given: list[str]) -> Answer:
        asked = json.loads(got.body)
        document = asked[given[0]]
        if asked.get("format", "ldp_vc") != "ldp_vc":
            return Answer(200, f"eyJhbGciOiJFUzI1NiJ9.e30.{_digest(document)}~")
        method = f"{asked.get('issuer', document.get('issuer', ''))}#{asked['key']}"
        proof = {"type": "JsonWebSignature2020", "verificationMethod": method, "jws": _digest(document)}
        return Answer(200, {**document, "proof": proof})

    def _verify(self, got: Got, _: list[str]) -> Answer:
        document = json.loads(got.body)
        proof = document.pop("proof")
        return Answer(200, {"valid": proof.get("jws") == _digest(document)})

    def _invite(self, got: Got, _: list[str]) -> Answer:
        types = parse_qs(urlsplit(got.path).query)["type"][0]
        return Answer(201, _invitation(f"https://ocm/{types}"))

    def _request(self, _: Got, __: list[str]) -> Answer:
        return Answer(201, _invitation("https://ocm/presentation"))

    def _proof(self, _: Got, __: list[str]) -> Answer:
        presentations = [{"credentialSubject": each} for each in SUBJECTS]
        return Answer(200, {"statusCode": 200, "data": {"state": "done", "presentations": presentations}})

    def _trust(self, got: Got, given: list[str]) -> Answer:
        asked = json.loads(got.body)
        if given[0] == "validate":
            lists = [_trust_list(asked["issuer"], each) for each in asked["endpoints"]]
            return Answer(200, {"didVerified": True, "endpoints": lists})
        pointers = [{"pointer": each, "dids": [SCHEME]} for each in asked["trustSchemePointers"]]
        document = {"document": {"id": SCHEME}, "didVerified": True, "endpoints": [_trust_list(asked["issuer"], LIST)]}
        return Answer(
            200, {"trustSchemePointers": pointers, "resolvedResults": [{"did": SCHEME, "resolvedDoc": document}]}
        )

    def _token(self, _: Got, __: list[str]) -> Answer:
        return Answer(200, {"access_token": "abc", "token_type": "Bearer", "expires_in": 300})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    self.handle_one_request()

            def answer(self) -> None:
                got = Got(self.command, self.path, self.headers, self.rfile.read(_length(self.headers)))
                site.requests.append(got)
                answer = site._answer(got)
                self.send_response_only(answer.status)
                for name, value in {"Content-Type": "application/json", **(answer.headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        for method in ("GET", "POST", "PUT", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        return Handler


ROUTES: tuple[tuple[str, str, Callable[[Neighbours, Got, list[str]], Answer]], ...] = (
    ("GET", "/v1/cache", Neighbours._get_cached),
    ("POST", "/v1/cache", Neighbours._put_cached),
    ("GET", "/1.0/identifiers/(.+)", Neighbours._resolve),
    ("POST", "/v1/(task|taskList)/([^/]+)", Neighbours._task),
    ("GET", "/v1/verification-methods/([^/]+)/([^/]+)", Neighbours._methods),
    ("GET", "/v1/verification-methods/([^/]+)/([^/]+)/([^/]+)", Neighbours._methods),
    ("POST", "/v1/(credential|presentation)/proof", Neighbours._sign),
    ("POST", "/v1/(credential|presentation)/verify", Neighbours._verify),
    ("POST", "/v1/out-of-band-proof", Neighbours._invite),
    ("POST", "/v1/send-out-of-band-presentation-request", Neighbours._request),
    ("POST", "/tcr/v1/(resolve|validate)", Neighbours._trust),
    ("POST", "/token", Neighbours._token),
    ("GET", "/v1/find-by-presentation-id", Neighbours._proof),
)


def _trust_list(issuer: str, endpoint: str) -> dict[str, object]:
    found: dict[str, object] = {"vcUri": endpoint, "tlUri": f"{endpoint}/list", "vcVerified": True}
    return {**found, "trustList": {"TSPID": issuer}} if issuer == TRUSTED else found


def _length(headers: Message) -> int:
    return int(headers.get("Content-Length", "0"))


def _cache_key(got: Got) -> str:
    parts = [got.headers[f"x-cache-{name}"] for name in ("key", "namespace", "scope")]
    assert None not in parts, "all three headers are sent even when they are empty"
    return ",".join(filter(None, parts))


def _method(did: str, key: str) -> dict[str, object]:
    return {"id": f"{did}#{key}", "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": KEYS[key]}


def _digest(document: object) -> str:
    text = json.dumps(document, sort_keys=True).encode()
    return hmac.new(b"signer", text, hashlib.sha256).hexdigest()


def _invitation(link: str) -> dict[str, object]:
    data = {"proofRecordId": "proof-1", "presentationMessage": link, "presentationMessageShort": "short"}
    return {"statusCode": 201, "message": "ok", "data": data}
