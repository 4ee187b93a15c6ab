"""Tokens for requests to others, from a real issuer."""

import base64
import json
import threading
from urllib.parse import parse_qs

import pytest
from auth_issuer import Time
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from policy_server.auth.outgoing import ClientCredentials
from policy_server.model.errors import FetchError
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard


class TokenIssuer:
    """Answers client credentials and remembers who asked how."""

    def __init__(self, server: HTTPServer) -> None:
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.answer: object = {"token_type": "Bearer", "expires_in": 100}
        self.status = 200
        self.slow = threading.Event()
        self.slow.set()
        self.url = server.url_for("/token")
        server.expect_request("/token", method="POST").respond_with_handler(self._reply)

    def _reply(self, request: Request) -> Response:
        self.asked.append((request.headers["Authorization"], parse_qs(request.get_data(as_text=True))))
        self.slow.wait(5)
        answer = self.answer
        if isinstance(answer, dict):
            answer = {"access_token": f"t{len(self.asked)}"} | answer
        return Response(json.dumps(answer), status=self.status, mimetype="application/json")


@pytest.fixture
def token_issuer(httpserver: HTTPServer) -> TokenIssuer:
    """An issuer on loopback."""
    return TokenIssuer(httpserver)


@pytest.fixture
def credentials(token_issuer: TokenIssuer, clock: Time) -> ClientCredentials:
    """Our credentials, with the real client."""
    return ClientCredentials(
        GuardedClient(NetworkGuard(["127.0.0.1", "localhost"])),
        url=token_issuer.url,
        client_id="us:1",
        client_secret="s%cret ü",
        scope="a b",
        elapsed=clock.elapsed,
    )


def test_a_token_is_asked_for_as_the_standard_says(credentials: ClientCredentials, token_issuer: TokenIssuer) -> None:
    """HTTP Basic with both parts encoded as in forms (RFC 6749, 2.3.1)."""
    assert credentials.header() == "Bearer t1"

    [(authorization, form)] = token_issuer.asked
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"us%3A1:s%25cret+%C3%BC"
    assert form == {"grant_type": ["client_credentials"], "scope": ["a b"]}


def test_a_token_is_kept_until_shortly_before_its_end(
    credentials: ClientCredentials, token_issuer: TokenIssuer, clock: Time
) -> None:
    """Thirty seconds before, or half of a short life."""
    assert [credentials.header() for _ in range(3)] == ["Bearer t1"] * 3
    clock.seconds = 69.0
    assert credentials.header() == "Bearer t1"
    token_issuer.answer = {"expires_in": 10}
    clock.seconds = 70.0
    assert credentials.header() == "Bearer t2"
    clock.seconds = 74.9
    assert credentials.header() == "Bearer t2"
    clock.seconds = 75.0
    assert credentials.header() == "Bearer t3"


def test_those_who_come_together_share_one_request(credentials: ClientCredentials, token_issuer: TokenIssuer) -> None:
    """One goes, the others wait for what it brings."""
    token_issuer.slow.clear()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(credentials.header())) for _ in range(6)]
    for thread in threads:
        thread.start()
    token_issuer.slow.set()
    for thread in threads:
        thread.join()

    assert (got, len(token_issuer.asked)) == (["Bearer t1"] * 6, 1)


def test_a_token_that_was_refused_can_be_dropped(credentials: ClientCredentials) -> None:
    """The next request gets another; dropping an old one again drops nothing."""
    first = credentials.header()
    credentials.forget(first)
    assert credentials.header() == "Bearer t2"
    credentials.forget(first)
    assert credentials.header() == "Bearer t2"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, {"error": "invalid_client"}),
        (200, []),
        (200, {"access_token": 7}),
        (200, {"access_token": ""}),
        (200, {"access_token": "secret-with\nline"}),
        (200, {"access_token": "secret-" + "x" * 20000}),
        (200, {"token_type": "mac"}),
        (200, {"expires_in": "soon"}),
    ],
)
def test_answers_without_a_usable_token_are_an_error(
    credentials: ClientCredentials, token_issuer: TokenIssuer, status: int, answer: object
) -> None:
    """That repeats nothing of them; the next request tries again."""
    good = token_issuer.answer
    token_issuer.status, token_issuer.answer = status, answer
    with pytest.raises(FetchError, match="OAUTH_TOKEN_URL") as caught:
        credentials.header()
    assert "secret" not in caught.value.message

    token_issuer.status, token_issuer.answer = 200, good
    assert credentials.header() == "Bearer t2"


@pytest.mark.parametrize("life", [0, -5, 0.001, 1e300])
def test_odd_lives_do_no_harm(
    credentials: ClientCredentials, token_issuer: TokenIssuer, clock: Time, life: float
) -> None:
    """A token without a life is used once; one that never ends is renewed daily."""
    token_issuer.answer = {"expires_in": life}

    assert credentials.header() == "Bearer t1"
    clock.seconds = 86400.0
    assert credentials.header() == "Bearer t2"
