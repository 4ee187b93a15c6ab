"""What newer signers can do: sent as a policy says, and nothing else."""

from collections.abc import Callable, Iterator

import pytest
from extension_calls import Extended
from neighbours_server import Neighbours

from policy_server.model.errors import BuiltinFailed

KEY = {"namespace": "transit", "key": "key1"}
CREDENTIAL = {"type": ["VerifiableCredential"], "issuer": "did:web:me"}
PRESENTATION = {"type": "VerifiablePresentation", "holder": "did:web:me"}


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    """A signer."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def ask(neighbours: Neighbours) -> Extended:
    """The functions of an installation that has it."""
    return Extended(signer_url=neighbours.url)


def test_a_credential_gets_a_proof_with_what_was_set(ask: Extended, neighbours: Neighbours) -> None:
    """An empty group is sent, too: signers of version 2 want one."""
    options = {**KEY, "group": "", "nonce": "n", "signatureType": "ed25519signature2020"}

    proven = ask("signer.add_vc_proof", options, CREDENTIAL)

    assert neighbours.requests[0].json == {**options, "credential": CREDENTIAL}
    assert ask("proof.verify", proven) is True


def test_nothing_is_sent_that_was_not_set(ask: Extended, neighbours: Neighbours) -> None:
    """So that older signers understand it, and newer ones take their defaults."""
    ask("signer.add_vc_proof", KEY, CREDENTIAL)
    ask("add_vc_proof", "transit", "key1", CREDENTIAL)
    ask("signer.add_vp_proof", {**KEY, "issuer": "did:web:me"}, PRESENTATION)
    ask("add_vp_proof", "did:web:me", "transit", "key1", PRESENTATION)

    first, second, third, fourth = (each.json for each in neighbours.requests)
    assert (first, third) == (second, fourth)


@pytest.mark.parametrize("function", ["signer.add_vc_proof", "signer.add_vp_proof"])
@pytest.mark.parametrize("form", ["vc+sd-jwt", "dc+sd-jwt"])
@pytest.mark.parametrize("document", [{"vct": "urn:x"}, "eyJhbGciOiJFUzI1NiJ9.e30.AA~"])
def test_an_sd_jwt_is_a_text(ask: Extended, neighbours: Neighbours, function: str, form: str, document: object) -> None:
    """Made of claims without a type, or of another SD-JWT."""
    options = {**KEY, "group": "g", "format": form, "disclosureFrame": ["email"]}

    made = ask(function, options, document)

    kind = "credential" if function == "signer.add_vc_proof" else "presentation"
    assert made.endswith("~")
    assert neighbours.requests[0].json == {**options, kind: document}


@pytest.mark.parametrize(
    ("more", "body"), [({}, b""), ({"group": "g", "engine": "kv"}, {"group": "g", "engine": "kv"})]
)
def test_a_verification_method_may_be_in_a_group(
    ask: Extended, neighbours: Neighbours, more: dict[str, str], body: object
) -> None:
    """Signers look for it in the body of the GET request."""
    found = ask("signer.verification_method", {**KEY, "did": "did:web:me", **more})

    (got,) = neighbours.requests
    assert found["id"] == "did:web:me#key1"
    assert (got.method, got.path) == ("GET", "/v1/verification-methods/transit/key1/did:web:me")
    assert (got.json if body else got.body) == body


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        (
            "signer.add_vc_proof",
            ({**KEY, "Group": "g"}, CREDENTIAL),
            "no option 'Group', only disclosureFrame",
        ),
        ("signer.add_vc_proof", ({**KEY, "issuer": "d"}, CREDENTIAL), "no option 'issuer'"),
        ("signer.add_vc_proof", ({"namespace": "n"}, CREDENTIAL), "the option key is missing"),
        ("signer.add_vc_proof", ({**KEY, "key": ""}, CREDENTIAL), "the option key is empty"),
        ("signer.add_vc_proof", ({**KEY, "nonce": 7}, CREDENTIAL), "nonce must be a text"),
        ("signer.add_vc_proof", ({**KEY, "disclosureFrame": [1]}, CREDENTIAL), "must be a list of texts"),
        ("signer.add_vc_proof", (KEY, PRESENTATION), "not VerifiableCredential"),
        ("signer.add_vc_proof", (KEY, "eyJ.e30.AA~"), "must be an object"),
        ("signer.add_vc_proof", ({**KEY, "format": "vc+sd-jwt"}, ["x"]), "an object or a text"),
        ("signer.add_vp_proof", (KEY, CREDENTIAL), "not VerifiablePresentation"),
        ("signer.add_vp_proof", ("text", CREDENTIAL), "operand 1 must be object"),
        ("signer.verification_method", (KEY,), "the option did is missing"),
        ("signer.verification_method", ({**KEY, "did": "d", "format": "x"},), "no option 'format'"),
        ("signer.verification_method", ({**KEY, "did": ".."},), "the DID is no name"),
    ],
)
def test_options_that_do_not_fit_are_told(ask: Extended, function: str, args: tuple[object, ...], told: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(BuiltinFailed, match=told) as caught:
        ask(function, *args)

    assert caught.value.code == "argument"


@pytest.mark.parametrize(
    ("form", "value", "good"),
    [("ldp_vc", {}, True), ("ldp_vc", "a.b.c~", False), ("vc+sd-jwt", "a.b.c~", True), ("vc+sd-jwt", [], False)],
)
def test_an_answer_of_another_shape_is_an_error(
    ask: Extended, neighbours: Neighbours, form: str, value: object, good: bool
) -> None:
    """Linked data is an object, an SD-JWT a text (or an object)."""
    neighbours.fail(200, value)
    question: Callable[[], object] = lambda: ask("signer.add_vc_proof", {**KEY, "format": form}, CREDENTIAL)  # noqa: E731

    if good:
        assert question() == value
    else:
        with pytest.raises(BuiltinFailed):
            question()
