"""Functions that ask a neighbour: what is sent, what comes back, and what goes wrong."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from extension_calls import Extended, new_call
from neighbours_server import Neighbours

from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, FetchError

CREDENTIAL = {"type": "VerifiableCredential", "issuer": "did:web:me", "credentialSubject": {"id": "x"}}
PRESENTATION = {"type": ["VerifiablePresentation"], "holder": "did:web:me"}
PROVEN = {**CREDENTIAL, "proof": {"jws": "0"}}
INVITATION = {"link": "https://ocm/a,b", "requestId": "proof-1"}

CALLS: dict[str, tuple[object, ...]] = {
    "cache.get": ("k", "n", "s"),
    "cache.set": ("k", "n", "s", {"a": 1}),
    "did.resolve": ("did:key:z6Mk",),
    "task.create": ("refresh", {"a": 1}),
    "tasklist.create": ("all", {}),
    "verification_method": ("did:web:me", "transit", "key1"),
    "verification_methods": ("did:web:me", "transit"),
    "keys.get": ("did:web:me", "transit", "key1"),
    "keys.getAll": ("did:web:me", "transit"),
    "add_vc_proof": ("transit", "key1", CREDENTIAL),
    "add_vp_proof": ("did:web:me", "transit", "key1", PRESENTATION),
    "proof.verify": (PROVEN,),
    "signer.add_vc_proof": ({"namespace": "transit", "key": "key1"}, CREDENTIAL),
    "signer.add_vp_proof": ({"issuer": "did:web:me", "namespace": "transit", "key": "key1"}, PRESENTATION),
    "signer.verification_method": ({"did": "did:web:me", "namespace": "transit", "key": "key1", "group": "g"},),
    "ocm.getLoginProofInvitation": (["one", "two"], {"one": "a", "two": "b"}),
    "ocm.sendPresentationRequest": ({"attributes": [], "options": {"type": "Aries"}},),
    "ocm.getLoginProofResult": ("proof-1",),
    "ocm.getRawProofResult": ("proof-1",),
    "train.resolve": ("did:web:notary.example.com", ["scheme.example.org"]),
    "train.validate": ("did:web:notary.example.com", "did:web:scheme.example.org", ["https://scheme.example.org/vc"]),
}
"""Every function that asks a neighbour, with good arguments."""

WITH_TOKEN = frozenset(name for name in CALLS if not name.startswith(("ocm.", "did.", "train.")))

ANY_STATUS = frozenset({"did.resolve"})
"""COMPAT: any JSON is an answer of a resolver."""

MakeExtended = Callable[..., Extended]


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    """All neighbours."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def extended(neighbours: Neighbours) -> MakeExtended:
    """Return a function that makes an installation with all neighbours."""
    names = ("cache_url", "task_url", "signer_url", "did_resolver_url", "ocm_url")

    def make(**options: Any) -> Extended:
        urls = {**dict.fromkeys(names, neighbours.url), "train_url": f"{neighbours.url}/tcr/v1"}
        return Extended(**{**urls, **options})

    return make


def test_every_neighbour_is_asked_as_the_policy_service_does(extended: MakeExtended, neighbours: Neighbours) -> None:
    """Method and path of each call."""
    ask = extended()
    neighbours.answer = None
    for name, args in CALLS.items():
        if name != "proof.verify":
            ask(name, *args)

    assert [f"{each.method} {each.path}" for each in neighbours.requests] == [
        "GET /v1/cache",
        "POST /v1/cache",
        "GET /1.0/identifiers/did:key:z6Mk",
        "POST /v1/task/refresh",
        "POST /v1/taskList/all",
        "GET /v1/verification-methods/transit/key1/did:web:me",
        "GET /v1/verification-methods/transit/did:web:me",
        "GET /v1/verification-methods/transit/key1/did:web:me",
        "GET /v1/verification-methods/transit/did:web:me",
        "POST /v1/credential/proof",
        "POST /v1/presentation/proof",
        "POST /v1/credential/proof",
        "POST /v1/presentation/proof",
        "GET /v1/verification-methods/transit/key1/did:web:me",
        "POST /v1/out-of-band-proof?type=a%2Cb",
        "POST /v1/send-out-of-band-presentation-request",
        "GET /v1/find-by-presentation-id?proofRecordId=proof-1",
        "GET /v1/find-by-presentation-id?proofRecordId=proof-1",
        "POST /tcr/v1/resolve",
        "POST /tcr/v1/validate",
    ]


def test_the_cache_is_written_and_read(extended: MakeExtended, neighbours: Neighbours) -> None:
    """Three headers name the value, even when they are empty; the body has no content type."""
    ask = extended()

    assert ask("cache.set", "k", "", "", {"n": 12345678901234567890123}) == "success"
    assert ask("cache.get", "k", "", "") == {"n": 12345678901234567890123}
    assert ask("cache.get", "other", "", "")["message"] == "key not found in cache"
    first = neighbours.requests[0]
    assert [first.headers[f"x-cache-{name}"] for name in ("key", "namespace", "scope")] == ["k", "", ""]
    assert first.headers["content-type"] is None
    assert first.headers["x-cache-ttl"] is None


def test_the_cache_hears_of_time_to_live_and_strategy(extended: MakeExtended, neighbours: Neighbours) -> None:
    """As far as the operator set them."""
    ask = extended(cache_ttl=90.0, cache_flatten="last")

    ask("cache.set", "k", "n", "s", {})
    ask("cache.get", "k", "n", "s,t")

    assert neighbours.requests[0].headers["x-cache-ttl"] == "90"
    assert neighbours.requests[1].headers["x-cache-flatten-strategy"] == "last"


def test_keys_of_any_language_reach_the_cache(extended: MakeExtended, neighbours: Neighbours) -> None:
    """In UTF-8; what would break out of the header is refused."""
    ask = extended()

    ask("cache.get", "größe", "", "")

    assert neighbours.requests[0].headers["x-cache-key"].encode("latin-1").decode() == "größe"
    with pytest.raises(BuiltinFailed, match="cannot carry"):
        ask("cache.get", "k\r\nx-evil: 1", "", "")


def test_an_unknown_did_is_the_resolvers_document(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The status does not count."""
    ask = extended()

    assert ask("did.resolve", "did:key:z6Mk")["didDocument"] == {"id": "did:key:z6Mk"}
    assert ask("did.resolve", "did:web:a%3A80")["didResolutionMetadata"] == {"error": "notFound"}
    assert neighbours.requests[1].path == "/1.0/identifiers/did:web:a%3A80"


@pytest.mark.parametrize(
    "did",
    [
        "",
        "  ",
        "did:x/../../admin",
        "../admin",
        "did:x/..\\admin",
        "did:x/./y",
        "did:x/%2e%2E/../admin",
        "did:x/%2e%2e/a",
        "did:x%2f..",
    ],
)
def test_no_did_leads_to_another_resource(did: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """It stands in the address as it is, so that it must not climb."""
    with pytest.raises(BuiltinFailed):
        extended()("did.resolve", did)

    assert neighbours.requests == []


def test_tasks_are_named_and_given_their_data(extended: MakeExtended, neighbours: Neighbours) -> None:
    """A name is one segment of the path, whatever is in it."""
    ask = extended()

    assert list(ask("task.create", "a/b c", {"x": 1})) == ["taskID"]
    assert list(ask("tasklist.create", "l", {})) == ["taskListID"]
    assert neighbours.requests[0].path == "/v1/task/a%2Fb%20c"
    assert neighbours.requests[0].json == {"x": 1}
    with pytest.raises(BuiltinFailed, match="must be an object"):
        ask("task.create", "x", "text")


def test_verification_methods_come_one_by_one_or_together(extended: MakeExtended) -> None:
    """Both names of each function answer the same."""
    ask = extended()

    one = ask("verification_method", "did:web:me", "transit", "key3")

    assert (one["id"], one["publicKeyJwk"]["kty"]) == ("did:web:me#key3", "OKP")
    assert ask("keys.get", "did:web:me", "transit", "key3") == one
    assert len(ask("verification_methods", "did:web:me", "transit")) == 3
    assert ask("keys.getAll", "did:web:me", "transit")[2] == one


@pytest.mark.parametrize("kind", ["VerifiableCredential", ["VerifiableCredential", "AlumniCredential"]])
def test_a_credential_gets_a_proof_that_is_valid(kind: object, extended: MakeExtended, neighbours: Neighbours) -> None:
    """Its type may be a list, as in W3C's examples."""
    ask = extended()
    credential = {**CREDENTIAL, "type": kind}

    proven = ask("add_vc_proof", "transit", "key1", credential)

    assert ask("proof.verify", proven) is True
    assert neighbours.requests[0].json == {"namespace": "transit", "key": "key1", "credential": credential}


def test_a_presentation_gets_a_proof_that_is_valid(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The issuer is named."""
    ask = extended()

    proven = ask("add_vp_proof", "did:web:me", "transit", "key1", PRESENTATION)

    assert ask("proof.verify", proven) is True
    assert neighbours.requests[0].json == {
        "issuer": "did:web:me",
        "namespace": "transit",
        "key": "key1",
        "presentation": PRESENTATION,
    }
    assert neighbours.requests[1].path == "/v1/presentation/verify"


def test_a_wrong_proof_is_an_error_or_false(extended: MakeExtended) -> None:
    """As the policy service has it, or as policies would like it."""
    with pytest.raises(BuiltinFailed, match="the proof is not valid"):
        extended()("proof.verify", PROVEN)

    assert extended(invalid_is_false=True)("proof.verify", PROVEN) is False


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("add_vc_proof", ("transit", "key1", {"type": "Other"}), "type is not VerifiableCredential"),
        ("add_vc_proof", ("transit", "key1", {}), "type is not VerifiableCredential"),
        ("add_vp_proof", ("d", "transit", "key1", CREDENTIAL), "type is not VerifiablePresentation"),
        ("proof.verify", ({"type": "Other", "proof": {}},), "neither VerifiableCredential nor"),
        ("proof.verify", ({"type": "VerifiableCredential"},), "no proof"),
        ("proof.verify", ("text",), "must be an object"),
        ("verification_method", ("", "transit", "key1"), "the DID is empty"),
        ("verification_method", ("did:web:me", "..", "key1"), "the namespace is no name"),
        ("verification_methods", ("did:web:me", " "), "the namespace is empty"),
        ("ocm.getLoginProofInvitation", (["a"], {}), "no credential type for the scope 'a'"),
        ("ocm.getLoginProofInvitation", (["a"], {"a": ""}), "name no credential type"),
        ("ocm.getLoginProofInvitation", ([], {}), "name no credential type"),
        ("ocm.getLoginProofResult", ("",), "request id is empty"),
        ("cache.set", ("k", "", "", "text"), "must be an object"),
        ("cache.get", ("", "", ""), "the key is empty"),
        ("task.create", ("", {}), "the name is empty"),
        ("did.resolve", (1,), "operand 1 must be string but got number"),
    ],
)
def test_wrong_arguments_are_told_before_anybody_is_asked(
    name: str, args: tuple[object, ...], message: str, extended: MakeExtended, neighbours: Neighbours
) -> None:
    """Nothing leaves the house."""
    with pytest.raises(BuiltinFailed, match=message):
        extended()(name, *args)

    assert neighbours.requests == []


def test_a_login_is_invited_to(extended: MakeExtended, neighbours: Neighbours) -> None:
    """Types once each, in the order of the scopes; empty ones are left out."""
    ask = extended()

    found = ask("ocm.getLoginProofInvitation", ["x", "y", "z", "x"], {"x": "a", "y": "", "z": "b", "q": "c"})

    assert found == INVITATION
    assert neighbours.requests[0].body == b""


def test_a_presentation_is_asked_for(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The request goes on as it is."""
    request = {"attributes": [{"schemaId": "s"}], "options": {"type": "Aries"}}

    assert extended()("ocm.sendPresentationRequest", request)["requestId"] == "proof-1"
    assert neighbours.requests[0].json == request


def test_what_was_presented_is_joined(extended: MakeExtended, neighbours: Neighbours) -> None:
    """Later subjects win; the raw answer has everything; nothing presented yet is nothing."""
    ask = extended()

    assert ask("ocm.getLoginProofResult", "proof-1") == {"given": "Ada", "mail": "ada@example.com"}
    assert ask("ocm.getRawProofResult", "proof-1")["data"]["state"] == "done"
    neighbours.fail(200, {"data": {"state": "request-sent"}})
    assert ask("ocm.getLoginProofResult", "proof-1") == {}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - ANY_STATUS))
def test_an_error_of_a_neighbour_is_an_error(name: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """With its status, and without its words."""
    neighbours.fail(503, {"message": "secret"})

    with pytest.raises(BuiltinFailed, match="answered 503") as caught:
        extended()(name, *CALLS[name])

    assert (caught.value.code, caught.value.answered) == ("status", 503)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"cache.set"}))
def test_an_answer_that_is_no_json_is_an_error(name: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """Whoever answers a page instead of data is the wrong server."""
    neighbours.fail(200, b"<html>")

    with pytest.raises(BuiltinFailed, match="no JSON") as caught:
        extended()(name, *CALLS[name])

    assert caught.value.code == "answer"


@pytest.mark.parametrize(
    "name", sorted(CALLS.keys() - {"cache.set", "cache.get", "did.resolve", "task.create", "tasklist.create"})
)
def test_an_answer_of_another_shape_is_an_error(name: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """Where the kind of value was promised to the compiler."""
    neighbours.fail(200, "text")

    with pytest.raises(BuiltinFailed) as caught:
        extended()(name, *CALLS[name])

    assert caught.value.code == "answer"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_end_of_the_evaluation_is_the_longest_wait(
    name: str, extended: MakeExtended, neighbours: Neighbours
) -> None:
    """A neighbour that keeps silent uses up the evaluation's time, and no more."""
    neighbours.hang()

    with pytest.raises(EvaluationTimeout):
        extended()(name, *CALLS[name], call=new_call(seconds=0.1))


def test_a_shorter_wait_leaves_time_for_the_policy(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The operator's time-out makes a failure that a policy can act on."""
    neighbours.hang()

    with pytest.raises(BuiltinFailed, match="not done within") as caught:
        extended(timeout=0.1)("did.resolve", "did:key:x")

    assert caught.value.code == "unreachable"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_without_an_address_a_call_names_the_setting(name: str) -> None:
    """Policies compile all the same."""
    setting = "POLICY_(CACHE|TASK|SIGNER|DID_RESOLVER|OCM|TRAIN)_URL"

    with pytest.raises(BuiltinFailed, match=setting) as caught:
        Extended()(name, *CALLS[name])

    assert caught.value.code == "unconfigured"


def test_an_address_that_leads_nowhere_names_the_setting() -> None:
    """An address that lost a digit is no host that could be allowed."""
    with pytest.raises(BuiltinFailed, match="POLICY_TASK_URL") as caught:
        Extended(task_url="http://127.1:80")("task.create", "x", {})

    assert caught.value.code == "unconfigured"


def test_redirects_are_not_followed(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The operator named a host, not where it sends us."""
    neighbours.fail(302, b"", Location=f"{neighbours.url}/v1/cache")

    with pytest.raises(BuiltinFailed, match=r"answered 302 \(redirects are not followed"):
        extended()("task.create", "x", {})

    assert len(neighbours.requests) == 1


@pytest.mark.parametrize("name", sorted(CALLS))
def test_our_token_goes_to_those_who_want_it(name: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """Resolver and OCM never see it."""
    neighbours.fail(500)

    with pytest.raises(BuiltinFailed) if name not in ANY_STATUS else pytest.raises(BuiltinFailed, match="JSON"):
        extended(bearer=lambda: "Bearer abc")(name, *CALLS[name])

    expected = "Bearer abc" if name in WITH_TOKEN else None
    assert [each.headers["authorization"] for each in neighbours.requests] == [expected]


def test_without_a_token_nobody_is_asked(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The failure says so."""

    def bearer() -> str:
        raise FetchError("no token.")

    with pytest.raises(BuiltinFailed, match="task service: no token"):
        extended(bearer=bearer)("task.create", "x", {})

    assert neighbours.requests == []


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_evaluation_asks_once(name: str, extended: MakeExtended, neighbours: Neighbours) -> None:
    """However often a policy calls, and however it spells what it makes others do."""
    ask, call = extended(invalid_is_false=True), new_call()
    spelled = [json.dumps(each).encode() for each in CALLS[name]]

    first = ask.text(name, *spelled, call=call)
    second = ask.text(name, *spelled, call=call)

    assert first == second
    assert len(neighbours.requests) == 1
    ask.text(name, *spelled, call=new_call())
    assert len(neighbours.requests) == 2


def test_what_is_done_is_done_once_however_it_is_spelled(extended: MakeExtended, neighbours: Neighbours) -> None:
    """The module and the interpreter write the same object in different ways."""
    ask, call = extended(), new_call()

    ask.text("task.create", b'"x"', b'{"a":1,"b":[2]}', call=call)
    ask.text("task.create", b'"x"', b'{"b": [2], "a": 1}', call=call)

    assert len(neighbours.requests) == 1


def test_answers_keep_the_spelling_of_their_numbers(extended: MakeExtended, neighbours: Neighbours) -> None:
    """Big integers are not damaged."""
    neighbours.fail(200, b'{"n": 12345678901234567890.10}')

    assert extended().text("did.resolve", b'"did:x:y"') == b'{"n": 12345678901234567890.10}'


def test_a_token_takes_of_the_time_that_there_is(extended: MakeExtended, neighbours: Neighbours) -> None:
    """An issuer that keeps silent ends the evaluation at its deadline, too."""
    go = threading.Event()

    with pytest.raises(EvaluationTimeout, match="no token in time"):
        extended(bearer=lambda: str(go.wait(30)))("task.create", "x", {}, call=new_call(seconds=0.05))

    go.set()
    assert neighbours.requests == []
