"""Policies as they are written for the policy service, with their functions, over HTTP in the assembled program."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from neighbours_server import TRUSTED, Neighbours
from sd_jwt_issuer import AT, BOUND, HOLDER, ISSUER, bind, digest, disclosure, issue, present
from wsgi_client import Answer, Client

from policy_server.assembly import Assembly, assemble
from policy_server.model.errors import CompileError
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.settings import load_settings

INVITATION = """package xfsc.invitation

import data.scopes

_ := ocm.getLoginProofInvitation(input.scope, scopes)
"""
RESULT = """package xfsc.result

_ = claims {
    claims := ocm.getLoginProofResult(input.requestId)
}
"""
SIGNED = """package xfsc.signed

signed := add_vc_proof("transit", "key1", {
    "type": ["VerifiableCredential"],
    "issuer": issuer,
    "credentialSubject": input.subject,
})

default valid = false

valid { proof.verify(signed) }

issuer := url_to_did("https://example.com/issuer/did.json")

keys := [key.id | key := verification_methods(issuer, "transit")[_]]

document := did.resolve(input.did)
"""
KEEPING = """package xfsc.keeping

_ = {"kept": kept, "cached": cached, "task": made} {
    storage.set(input.key, {"by": external.http.header("X-User")}) == null
    kept := storage.get(input.key)
    cache.set(input.key, "n", "", {"n": 1}) == "success"
    cached := cache.get(input.key, "n", "")
    made := task.create("refresh", {"key": input.key})
}
"""
POLICIES = {"invitation": INVITATION, "result": RESULT, "signed": SIGNED, "keeping": KEEPING}
DATA = {"invitation": '{"scopes": {"login": "Principal", "mail": "Mail"}}'}


@dataclass
class Program:
    """The program with policies in it."""

    assembly: Assembly
    client: Client

    def publish(self, name: str, rego: str, data: str | None = None) -> None:
        """Publish a policy of the group xfsc."""
        policy = PolicyId("test", "xfsc", name, "1.0")
        self.assembly.publisher.publish(PolicySource(policy, rego, data=data), author="test")
        self.assembly.catalog.sync()

    def ask(self, name: str, document: object = None, query: str = "", **headers: str) -> Answer:
        """Ask for an evaluation, publishing the policy first where it is one of the examples."""
        if name in POLICIES:
            self.publish(name, POLICIES[name], DATA.get(name))
        body = json.dumps(document).encode()
        return self.client.post(f"/policy/test/xfsc/{name}/1.0/evaluation{query}", body, headers=headers)


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    """All neighbours."""
    server = Neighbours()
    yield server
    server.close()


@pytest.fixture
def program(tmp_path: Path, neighbours: Neighbours) -> Iterator[Callable[..., Program]]:
    """Return a function that assembles the program with these variables beside the policy service's own."""
    made: list[Assembly] = []
    names = ("TASK_ADDR", "SIGNER_ADDR", "DID_RESOLVER_ADDR", "OCM_ADDR")

    def make(**environ: str) -> Program:
        usual = load_settings().cache_dir
        home = {"HOME": str(tmp_path), "POLICY_CACHE_DIR": str(usual), "POLICY_BUNDLED": "off"}
        given = {**home, "POLICY_STORAGE_URL": "memory:", **dict.fromkeys(names, neighbours.url), **environ}
        made.append(assemble(load_settings(environ=given)))
        return Program(made[-1], Client(made[-1].app()))

    yield make
    for each in made:
        each.close()


def test_a_login_is_begun_and_ended(program: Callable[..., Program]) -> None:
    """What the AAS login service asks for."""
    server = program()

    begun = server.ask("invitation", {"scope": ["login", "mail"]})
    ended = server.ask("result", {"requestId": begun.json["requestId"]})

    assert begun.json == {"link": "https://ocm/Principal,Mail", "requestId": "proof-1"}
    assert ended.json == {"given": "Ada", "mail": "ada@example.com"}


def test_a_credential_is_signed_and_verified(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """The signer signs once, although two rules use the credential."""
    found = program().ask("signed", {"subject": {"id": "did:key:x"}, "did": "did:key:x"})

    assert found.status == 200
    assert found.json["valid"] is True
    assert found.json["signed"]["proof"]["verificationMethod"] == "did:web:example.com:issuer#key1"
    assert found.json["keys"][0] == "did:web:example.com:issuer#key1"
    assert found.json["document"]["didDocument"] == {"id": "did:key:x"}
    assert len([each for each in neighbours.requests if each.path == "/v1/credential/proof"]) == 1


def test_an_undefined_argument_asks_nobody(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """The expression is undefined, and that is no error."""
    found = program().ask("result", {})

    assert (found.status, found.json) == (200, {})
    assert neighbours.requests == []


def test_values_are_kept_in_the_servers_own_store(program: Callable[..., Program]) -> None:
    """Without any neighbour for them."""
    server = program()

    found = server.ask("keeping", {"key": "k"}, **{"x-user": "ada"})

    assert found.json["kept"] == {"by": "ada"}
    assert found.json["cached"] == {"n": 1}
    assert server.assembly.store.values.get("k") == {"by": "ada"}


def test_a_cache_service_takes_the_place_of_the_store(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """Where one is named."""
    found = program(CACHE_ADDR=neighbours.url).ask("keeping", {"key": "k"})

    assert found.json["cached"] == {"n": 1}
    assert [each.headers["x-cache-namespace"] for each in neighbours.requests if each.path == "/v1/cache"] == ["n"] * 2


def test_results_reach_the_cache_service_that_is_named(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """Wherever it is, without POLICY_ALLOWED_NETWORKS, and with our token."""
    results = program(
        CACHE_ADDR=neighbours.url,
        OAUTH_CLIENT_ID="us",
        OAUTH_CLIENT_SECRET="s3cret",
        OAUTH_TOKEN_URL=f"{neighbours.url}/token",
    ).assembly.results

    results.offer("e1", b'{"a":1}', None)

    assert (results.work(), results.dropped) == (True, 0)
    (kept,) = [each for each in neighbours.requests if each.path == "/v1/cache"]
    assert (kept.headers["x-cache-key"], kept.headers["authorization"]) == ("e1", "Bearer abc")


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"<html>")], ids=["an error", "no JSON"])
def test_a_failing_neighbour_fails_the_evaluation(
    status: int, body: bytes, program: Callable[..., Program], neighbours: Neighbours
) -> None:
    """With the policy service's words."""
    neighbours.fail(status, body)

    found = program().ask("result", {"requestId": "proof-1"})

    assert (found.status, found.json["kind"], found.json["message"]) == (500, 0, "error evaluating rego query")


def test_a_silent_neighbour_fails_the_evaluation_at_its_deadline(
    program: Callable[..., Program], neighbours: Neighbours
) -> None:
    """It never holds a caller longer than any other policy."""
    neighbours.hang()

    found = program(POLICY_EVALUATION_DEADLINE="200ms").ask("result", {"requestId": "proof-1"})

    assert (found.status, found.json["message"]) == (500, "error evaluating rego query")


def test_without_an_address_policies_compile_and_calls_fail(program: Callable[..., Program]) -> None:
    """A minimal server runs every policy that does not need the neighbour."""
    server = program(OCM_ADDR="", SIGNER_ADDR="")
    server.publish("maybe", "package xfsc.maybe\n\nx := 1\ny := ocm.getRawProofResult(input.id)\n")

    assert server.ask("maybe", {}).json == {"x": 1}
    assert server.ask("maybe", {"id": "a"}).status == 500


def test_what_was_written_stays_when_the_evaluation_fails(program: Callable[..., Program]) -> None:
    """There is no transaction around a policy."""
    server = program()
    server.publish("half", 'package xfsc.half\n\nx { storage.set("k", {"a": 1}); did_to_url(input.did) }\n')

    assert server.ask("half", {"did": "no"}).status == 500

    assert server.assembly.store.values.get("k") == {"a": 1}


def test_a_failure_may_be_a_value(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """So that a policy answers what it likes."""
    server = program(POLICY_FUNCTION_ERRORS="fail, did_to_url=value, ocm.*=value, proof.verify=undefined")
    neighbours.fail(503)
    server.publish(
        "calm",
        "package xfsc.calm\n\n"
        "code := did_to_url(input.did).error.code\n"
        'status := ocm.getRawProofResult("p").error.status\n'
        'default valid := "unknown"\n'
        'valid := proof.verify({"type": "VerifiableCredential", "proof": {}})\n',
    )

    found = server.ask("calm", {"did": "x"})

    assert found.json == {"code": "argument", "status": 503, "valid": "unknown"}


def test_a_wrong_proof_may_be_false(program: Callable[..., Program]) -> None:
    """Which users of the policy service patched it for."""
    rego = 'package xfsc.wrong\n\n_ := proof.verify({"type": "VerifiablePresentation", "proof": {"jws": ""}})\n'
    strict, lenient = program(), program(POLICY_INVALID_PROOF="false")
    for each in (strict, lenient):
        each.publish("wrong", rego)

    assert strict.ask("wrong").status == 500
    assert lenient.ask("wrong").body == b"false\n"


def test_what_is_explained_is_done_once(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """The interpreter that traces an evaluation hears what the functions answered the first time."""
    server = program(POLICY_EXPLAIN="on")

    found = server.ask("keeping", {"key": "k"}, "?explain=full")

    assert found.status == 200
    assert found.json["result"]["task"]["taskID"]
    assert "task.create" in json.dumps(found.json["explanation"])
    assert [each.path for each in neighbours.requests] == ["/v1/task/refresh"]


def test_a_policy_reads_an_sd_jwt(program: Callable[..., Program]) -> None:
    """On its own; a token that is not valid is an answer, and no failure of the evaluation."""
    rego = f"""package xfsc.presented

found := sd_jwt.verify(input.token, {{
    "key": {json.dumps(ISSUER)},
    "vct": "urn:example:id",
    "time": {AT * 10**9},
    "key_binding": {json.dumps(BOUND)},
}})

allow {{ found.payload.age >= 18 }}

names := [name | name := sd_jwt.decode(input.token).disclosures[_][1]]
"""
    part = disclosure("age", 36)
    token = present(issue({"_sd": [digest(part)], "vct": "urn:example:id", "cnf": {"jwk": HOLDER}}), [part])
    server = program()
    server.publish("presented", rego)

    good, bad = (server.ask("presented", {"token": each}).json for each in (bind(token), token))

    assert (good["allow"], good["found"]["valid"], good["names"]) == (True, True, ["age"])
    assert bad == {"found": {"valid": False, "reason": "the holder's key binding is missing"}, "names": ["age"]}


def test_a_policy_asks_for_an_sd_jwt(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """With an object of options, of which an unknown one is told."""
    rego = """package xfsc.issued

signed := signer.add_vc_proof(input.options, {"vct": "urn:example:id"})
"""
    server = program()
    server.publish("issued", rego)
    options = {"namespace": "transit", "key": "key1", "group": "", "format": "vc+sd-jwt"}

    good, bad = (server.ask("issued", {"options": each}) for each in (options, {**options, "typ": "x"}))

    assert good.json["signed"].endswith("~")
    assert bad.status == 500
    assert [each.json["group"] for each in neighbours.requests] == [""]


def test_a_policy_trusts_whom_a_trust_list_knows(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """The rule of docs/functions.md."""
    page = (Path(__file__).parents[2] / "docs" / "functions.md").read_text(encoding="utf-8")
    rule = page.partition("trusted if {")[2].partition("```")[0]
    server = program(TRAIN_ADDR=f"{neighbours.url}/tcr/v1")
    server.publish(
        "trusting", f"package xfsc.trusting\n\nimport rego.v1\n\ndefault trusted := false\n\ntrusted if {{{rule}"
    )

    answers = [server.ask("trusting", {"issuer": each}).json for each in (TRUSTED, "did:web:stranger.example.com")]

    assert answers == [{"trusted": True}, {"trusted": False}]


def test_a_function_of_the_operator_is_one_like_the_others(
    program: Callable[..., Program], neighbours: Neighbours, tmp_path: Path
) -> None:
    """Declared to the compiler, answered by a server that the file names."""
    neighbours.answer = None
    file = tmp_path / "functions.toml"
    file.write_text(
        '[function."acme.subject"]\nargs = { id = "string" }\nresult = "string"\n'
        f'url = "{neighbours.url}/v1/find-by-presentation-id?proofRecordId={{id}}"\n'
        'response = "/data/presentations/1/credentialSubject/mail"\n'
    )
    server = program(POLICY_FUNCTIONS=str(file))
    server.publish("own", "package xfsc.own\n\n_ := acme.subject(input.id)\n")

    assert server.ask("own", {"id": "proof-1"}).json == "ada@example.com"
    with pytest.raises(CompileError, match=r"acme\.subject: invalid argument"):
        server.publish("typed", "package xfsc.typed\n\n_ := acme.subject(1)\n")


def test_the_tokens_of_the_settings_go_to_the_signer(program: Callable[..., Program], neighbours: Neighbours) -> None:
    """One is fetched, kept, and shown to those who want it."""
    server = program(
        OAUTH_CLIENT_ID="us",
        OAUTH_CLIENT_SECRET="s3cret",
        OAUTH_TOKEN_URL=f"{neighbours.url}/token",
        POLICY_ALLOWED_NETWORKS="127.0.0.1/32",
    )

    assert server.ask("signed", {"subject": {}, "did": "did:key:x"}).status == 200
    tokens = {
        each.path.split("/")[2]: each.headers["authorization"] for each in neighbours.requests if each.path != "/token"
    }
    assert tokens == {"credential": "Bearer abc", "verification-methods": "Bearer abc", "identifiers": None}
    assert [each.path for each in neighbours.requests].count("/token") == 1
