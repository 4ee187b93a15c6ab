"""Trust lists, by a resolver that answers in the shapes of its API."""

from collections.abc import Iterator

import pytest
from extension_calls import Extended
from neighbours_server import LIST, SCHEME, TRUSTED, Neighbours

from policy_server.model.errors import BuiltinFailed


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    """A resolver."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def ask(neighbours: Neighbours) -> Extended:
    """The functions of an installation that has it, with a slash too many."""
    return Extended(train_url=f"{neighbours.url}/tcr/v1/")


@pytest.mark.parametrize("issuer", [TRUSTED, "did:web:stranger.example.com"])
def test_an_issuer_is_looked_up_in_the_trust_lists_of_schemes(
    ask: Extended, neighbours: Neighbours, issuer: str
) -> None:
    """The answer is passed through; it has the entry of an issuer that is known."""
    found = ask("train.resolve", issuer, ["one.example.org", "two.example.org"])

    (got,) = neighbours.requests
    (endpoint,) = found["resolvedResults"][0]["resolvedDoc"]["endpoints"]
    assert got.json == {"issuer": issuer, "trustSchemePointers": ["one.example.org", "two.example.org"]}
    assert got.headers["content-type"] == got.headers["accept"] == "application/json"
    assert [each["pointer"] for each in found["trustSchemePointers"]] == ["one.example.org", "two.example.org"]
    assert ("trustList" in endpoint) is (issuer == TRUSTED)


def test_trust_lists_are_validated(ask: Extended, neighbours: Neighbours) -> None:
    """Those of a DID, at these endpoints."""
    found = ask("train.validate", TRUSTED, SCHEME, [LIST])

    assert neighbours.requests[0].json == {"issuer": TRUSTED, "did": SCHEME, "endpoints": [LIST]}
    assert (found["didVerified"], found["endpoints"][0]["vcVerified"]) == (True, True)


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("train.resolve", ("", ["a"]), "the issuer is empty"),
        ("train.resolve", ("did:web:a", []), "there is no trust scheme pointer"),
        ("train.resolve", ("did:web:a", ["a", " "]), "the trust scheme pointer is empty"),
        ("train.resolve", ("did:web:a", [7]), "must be a text"),
        ("train.resolve", ("did:web:a", "a"), "operand 2 must be array"),
        ("train.validate", ("did:web:a", " ", ["a"]), "the DID is empty"),
        ("train.validate", ("did:web:a", "did:web:b", []), "there is no endpoint"),
    ],
)
def test_a_question_about_nothing_is_not_asked(
    ask: Extended, neighbours: Neighbours, name: str, args: tuple[object, ...], told: str
) -> None:
    """Its answer would prove nothing."""
    with pytest.raises(BuiltinFailed, match=told) as caught:
        ask(name, *args)

    assert (caught.value.code, neighbours.requests) == ("argument", [])


def test_an_error_of_the_resolver_is_a_failure(ask: Extended, neighbours: Neighbours) -> None:
    """With its status: 502 for DNS, 510 for DIDs."""
    neighbours.fail(510, {"code": "did_error", "message": "…"})

    with pytest.raises(BuiltinFailed, match="the trusted content resolver answered 510") as caught:
        ask("train.validate", TRUSTED, SCHEME, [LIST])

    assert (caught.value.code, caught.value.answered) == ("status", 510)
