"""Key, export, import and automatic import over HTTP."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from bundle_samples import OPA_FILES, REGO, bundle, metadata, opa_signed, private, public_jwk, signed
from fake_signer import NAMES, run_signer
from functional_server import Server
from pytest_httpserver import HTTPServer

from policy_server.audit.caller import ACTOR_KEY
from policy_server.bundles.archive import write_zip
from policy_server.bundles.contents import digest_of, open_bundle, write_outer
from policy_server.bundles.opa import read_opa
from policy_server.bundles.opa_archive import pack, unpack
from policy_server.bundles.opa_signatures import find_signature
from policy_server.bundles.signatures import sign, verifies
from policy_server.bundles.signers import RemoteSigner
from policy_server.bundles.trust import Issuer
from policy_server.bundles.verification import Verification
from policy_server.model.access import TrustedKey
from policy_server.model.errors import CompileError
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

POLICY = "/policy/r/g/p/1.0"
CONFIG = "/v1/policy/import/config"
LOOPBACK = ("127.0.0.1", "localhost")


@pytest.fixture
def exporting(make_server: Callable[..., Server], httpserver: HTTPServer) -> Server:
    """A server with a signer and a policy for each of its keys."""
    signer = RemoteSigner(run_signer(httpserver), GuardedClient(NetworkGuard(LOOPBACK)))
    server = make_server(signer=signer, networks=LOOPBACK)
    for name in NAMES:
        server.publish(f"r/g/{name}/1.0", f"package g.{name}\n\nx := 1\n", export_config=export_config(name))
    server.publish("r/g/p/1.0", REGO)
    return server


@pytest.fixture
def importing(server: Server) -> Server:
    """A server that trusts a peer's key."""
    trust(server)
    return server


def export_config(key: str) -> str:
    """Return an export-config.json."""
    return json.dumps({"namespace": "transit", "key": key})


def trust(server: Server, kind: str = "P-256", owner: str = "peer", repositories: tuple[str, ...] = ()) -> None:
    """Pin a key."""
    jwk = public_jwk(kind, owner)
    server.store.keys.save(TrustedKey(f"{owner}-{kind}", owner, jwk, repositories, datetime.now(UTC), "test"))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_key_is_the_signers(exporting: Server, name: str, kind: str) -> None:
    """The JWK is passed through."""
    answer = exporting.client.get(f"/policy/r/g/{name}/1.0/key")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(public_jwk(kind, "signer"))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_an_export_is_a_signed_file(exporting: Server, name: str, kind: str) -> None:
    """With the headers of the original, verified by the key."""
    answer = exporting.client.get(f"/policy/r/g/{name}/1.0/export")

    found = open_bundle(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-disposition"] == f'attachment; filename="r_g_{name}_1.0.zip"'
    assert verifies(private(kind, "signer").public_key(), found.digest, found.signature)
    assert found.metadata.key_url == f"https://us.example.com/policy/r/g/{name}/1.0/key"


def test_an_export_may_be_opas(exporting: Server) -> None:
    """It needs no signer and no export-config.json: nothing is signed."""
    answer = exporting.client.get(f"{POLICY}/export?format=opa&wasm=true")

    plain = read_opa(answer.body)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/gzip")
    assert answer.headers["content-disposition"] == 'attachment; filename="r_g_p_1.0.tar.gz"'
    assert (plain.id, plain.rego) == (PolicyId("r", "g", "p", "1.0"), REGO)
    assert "policy.wasm" in plain.files
    assert exporting.client.get(f"{POLICY}/export?format=tar").status == 400


def test_a_policy_that_was_never_good_has_no_export(exporting: Server) -> None:
    """500, in words about this policy, not about a bundle that nobody sent."""
    with pytest.raises(CompileError):
        exporting.publish("r/g/broken/1.0", "package g.broken\n\nx := {\n")

    answer = exporting.client.get("/policy/r/g/broken/1.0/export?format=opa")

    assert (answer.status, answer.json["kind"]) == (500, 0)
    assert answer.json["message"].startswith("r/g/broken/1.0 has no revision that could be exported")


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_opas_bundle_may_be_signed(exporting: Server, name: str, kind: str) -> None:
    """For a scope; with the key that signs the other kind of bundle, and by the same permission."""
    answer = exporting.client.get(f"/policy/r/g/{name}/1.0/export?format=opa&signed=true&scope=write")

    files = unpack(answer.body)
    Verification(public_jwk(kind, "signer").encode(), scope="write").check(files)
    assert find_signature(files).issuer == f"https://us.example.com/policy/r/g/{name}/1.0/key"
    assert exporting.client.get(f"{POLICY}/export?format=opa&signed=true").status == 403
    assert exporting.client.get(f"{POLICY}/export?format=opa&signed=maybe").status == 400


def test_a_locked_policy_can_be_exported(exporting: Server) -> None:
    """And its bundle says that it is locked."""
    exporting.client.post("/policy/r/g/ec/1.0/lock")

    answer = exporting.client.get("/policy/r/g/ec/1.0/export")

    assert open_bundle(answer.body).metadata.locked
    assert exporting.client.get("/policy/r/g/ec/1.0/key").status == 200


@pytest.mark.parametrize("route", ["key", "export"])
@pytest.mark.parametrize(
    ("policy", "config", "status", "kind", "message"),
    [
        ("r/g/unknown/1.0", None, 404, 5, "policy not found"),
        ("r/g/p/1.0", None, 403, 3, None),
        ("r/g/p/1.0", '{"namespace": 7}', 500, 7, "cannot unmarshal policy export configuration"),
    ],
)
def test_what_cannot_be_exported(
    exporting: Server, route: str, policy: str, config: str | None, status: int, kind: int, message: str | None
) -> None:
    """In the words of the original."""
    if config is not None:
        exporting.publish(policy, REGO, export_config=config)

    answer = exporting.client.get(f"/policy/{policy}/{route}")

    assert (answer.status, answer.json["kind"]) == (status, kind)
    assert answer.json.get("message", "").startswith(message or "")
    assert ("message" in answer.json) is (message is not None)


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [(400, 400, 1), (401, 401, 2), (403, 403, 3), (404, 404, 5), (408, 408, 6), (409, 409, 4), (500, 500, 7),
     (503, 503, 8), (418, 500, 0)],
)  # fmt: skip
def test_what_the_signer_refuses_is_passed_on(
    make_server: Callable[..., Server], httpserver: HTTPServer, said: int, status: int, kind: int
) -> None:
    """Its status and its words."""
    httpserver.expect_request(re.compile(".*")).respond_with_data("no such key", said)
    signer = RemoteSigner(httpserver.url_for(""), GuardedClient(NetworkGuard(LOOPBACK)))
    server = make_server(signer=signer)
    server.publish("r/g/p/1.0", REGO, export_config=export_config("none"))

    for route in ("key", "export"):
        answer = server.client.get(f"{POLICY}/{route}")

        assert (answer.status, answer.json["kind"], answer.json["message"]) == (status, kind, "no such key")


def test_without_a_signer_nothing_is_signed(server: Server) -> None:
    """503, in the words of the original."""
    server.publish("r/g/p/1.0", REGO, export_config=export_config("ec"))

    answer = server.client.get(f"{POLICY}/export")

    assert (answer.status, answer.json["kind"], answer.json["message"]) == (503, 8, "signer address is not set")


def form(content: bytes, *, field: str = "file") -> tuple[bytes, dict[str, str]]:
    """Return a form with another field and a file."""
    head = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n'
    parts = [head.format("note", "").encode() + b"hello", head.format(field, '; filename="b.zip"').encode() + content]
    body = b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"
    return body, {"content-type": "multipart/form-data; boundary=xyz"}


@pytest.mark.parametrize("content_type", [None, "application/zip", "application/json", "multipart/form-data"])
def test_a_raw_body_is_imported(importing: Server, content_type: str | None) -> None:
    """Whatever its content type."""
    headers = {} if content_type is None else {"content-type": content_type}

    answer = importing.client.post("/v1/policy/import", bundle(), headers=headers)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {
        "repository": "shared",
        "group": "g",
        "name": "p",
        "version": "1.0",
        "locked": False,
        "lastUpdate": "2024-01-02T03:04:05Z",
    }
    importing.catalog.sync()
    assert importing.client.get("/policy/shared/g/p/1.0/evaluation").json == {"allow": True}


def test_opas_bundle_is_imported_when_a_trusted_key_has_signed_it(importing: Server) -> None:
    """Named by its manifest."""
    answer = importing.client.post("/v1/policy/import", opa_signed(iat=1704164645))

    assert (answer.status, answer.json["name"], answer.json["lastUpdate"]) == (200, "p", "2024-01-02T03:04:05Z")
    importing.catalog.sync()
    assert importing.client.get("/policy/shared/g/p/1.0/evaluation").json["allow"] is True


@pytest.mark.parametrize(
    ("content", "query", "status", "kind"),
    [
        (opa_signed(files={"p.rego": REGO.encode()}), "", 400, 1),
        (opa_signed(files={"p.rego": REGO.encode()}), "?policy=shared/g/p/1.0", 200, None),
        (opa_signed(files={"p.rego": REGO.encode()}), "?policy=shared/g/p", 400, 1),
        (opa_signed(files={"p.rego": REGO.encode()}), "?policy=shared/g/other/1.0", 422, 1),
        (opa_signed(), "?policy=shared/g/p/2.0", 400, 1),
        (bundle(), "?policy=shared/g/p/1.0", 400, 1),
        (pack(OPA_FILES), "", 403, 3),
        (opa_signed(owner="attacker"), "", 403, 3),
        (opa_signed(files={"data.json": b"{}"}), "", 500, 0),
        (opa_signed()[:50], "", 400, 1),
    ],
    ids=["none", "given", "no name", "wrong", "another", "zip", "unsigned", "stranger", "no policy", "cut off"],
)
def test_opas_bundles_and_their_names(
    importing: Server, content: bytes, query: str, status: int, kind: int | None
) -> None:
    """Who sends one names it where it does not name itself, and never differently."""
    answer = importing.client.post(f"/v1/policy/import{query}", content)

    assert (answer.status, answer.json.get("kind")) == (status, kind)


def test_a_form_is_imported(importing: Server) -> None:
    """The field is called file."""
    body, headers = form(bundle())

    assert importing.client.post("/v1/policy/import", body, headers=headers).status == 200


def test_a_body_without_a_length_is_imported(importing: Server) -> None:
    """Sent in chunks."""
    assert importing.client.post("/v1/policy/import", io.BytesIO(bundle())).status == 200


@pytest.mark.parametrize(
    "body",
    [form(bundle(), field="other")[0], b"--xyz\r\n", b"", form(bundle())[0][:200]],
    ids=["another field", "no end", "empty", "cut off"],
)
def test_a_form_without_the_file_is_refused(importing: Server, body: bytes) -> None:
    """As something that is no bundle."""
    answer = importing.client.post("/v1/policy/import", body, headers=form(b"")[1])

    assert (answer.status, answer.json["kind"]) == (400, 1)


def _locked() -> bytes:
    return bundle(locked=False, rego="package g.p\n\nallow := 2\n")


OUTSIDE = bundle(policy="other/g/p/1.0")
CASES = {
    "empty": (b"", 400, 1, None),
    "no zip": (b"hello", 400, 1, None),
    "truncated": (bundle()[:-30], 400, 1, None),
    "one entry": (write_zip([("policy_bundle.zip", b"")]), 400, 1, "invalid bundle"),
    "three entries": (write_zip([(name, b"") for name in "abc"]), 400, 1, "invalid bundle"),
    "path": (write_zip([("../policy_bundle.zip", b""), ("signature.raw", b"")]), 400, 1, "invalid bundle"),
    "duplicates": (write_zip([("policy_bundle.zip", b"")] * 2), 400, 1, "invalid bundle"),
    "bomb": (write_zip([("policy_bundle.zip", bytes(9 << 20)), ("signature.raw", b"")]), 400, 1, "invalid bundle"),
    "wrong order": (write_zip([("signature.raw", b""), ("policy_bundle.zip", b"")]), 403, 3, "failed to verify bundle"),
    "inner is no zip": (write_outer(b"x", b"x"), 403, 3, "failed to verify bundle"),
    "no metadata": (signed([("policy.rego", b"")]), 403, 3, "failed to verify bundle"),
    "metadata second": (
        signed([("policy.rego", REGO.encode()), ("metadata.json", metadata())]), 403, 3, "failed to verify bundle"),
    "forged": (bundle(owner="attacker"), 403, 3, "failed to verify bundle"),
    "signature of other bytes": (
        write_outer(write_zip([("metadata.json", metadata()), ("policy.rego", b"x")]),
                    sign(private("P-256"), digest_of(b"other"))), 403, 3, "failed to verify bundle"),
    "nothing inside": (signed([("metadata.json", metadata())]), 500, 0, "cannot make policy from bundle"),
    "odd entry": (
        signed([("metadata.json", metadata()), ("policy.rego", REGO.encode()), ("x.sh", b"")]),
        500, 0, "cannot make policy from bundle"),
    "rego": (bundle(rego="package g.p\n\nx := \n"), 422, 1, "policy.rego:4"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_imported(importing: Server, case: str) -> None:
    """Statuses, kinds and messages of the original; nothing is written."""
    content, status, kind, message = CASES[case]
    stamp = importing.store.stamp()

    answer = importing.client.post("/v1/policy/import", content)

    assert (answer.status, answer.json["kind"]) == (status, kind)
    assert answer.json.get("message", "").startswith(message or "")
    assert ("message" in answer.json) is (message is not None)
    assert importing.store.stamp() == stamp


def test_a_bundle_that_is_too_large_is_not_read(importing: Server) -> None:
    """Not even when its length is not declared."""
    assert importing.client.post("/v1/policy/import", bytes((1 << 20) + 1)).status == 413
    assert importing.client.post("/v1/policy/import", io.BytesIO(bytes(2 << 20))).status == 413


def test_a_problem_document_says_what_the_short_form_keeps_back(importing: Server) -> None:
    """Why a bundle was not believed."""
    headers = {"accept": "application/problem+json"}

    answer = importing.client.post("/v1/policy/import", bundle(owner="attacker"), headers=headers)

    assert answer.status == 403
    assert answer.json["type"] == "/problems/bundle-unverified"
    assert "No pinned key" in answer.json["detail"]


def test_the_key_of_an_attackers_server_is_never_fetched(
    make_server: Callable[..., Server], httpserver: HTTPServer
) -> None:
    """The bundle names it; nobody asks."""
    httpserver.expect_request("/key").respond_with_data(public_jwk("P-256", "attacker"))
    server = make_server(networks=LOOPBACK, issuers=[Issuer("https://peer.example.com")])

    answer = server.client.post("/v1/policy/import", bundle(owner="attacker", key_url=httpserver.url_for("/key")))

    assert (answer.status, httpserver.log) == (403, [])


def test_an_import_does_not_unlock_and_says_so(importing: Server) -> None:
    """The answer tells how it is here."""
    importing.client.post("/v1/policy/import", bundle())
    importing.client.post("/policy/shared/g/p/1.0/lock")

    answer = importing.client.post("/v1/policy/import", _locked())

    assert (answer.status, answer.json["locked"]) == (200, True)
    importing.catalog.sync()
    assert importing.client.get("/policy/shared/g/p/1.0/evaluation").status == 403


def test_who_sends_a_bundle_is_its_author(importing: Server) -> None:
    """Whoever sent the one before: whose policy it is depends on the signer."""
    send = {ACTOR_KEY: "token:first"}, {ACTOR_KEY: "token:second"}
    importing.client.ask("POST", "/v1/policy/import", body=bundle(), environ=send[0])
    answer = importing.client.ask(
        "POST", "/v1/policy/import", body=bundle(locked=True, rego="package g.p\n\nallow := 2\n"), environ=send[1]
    )

    records = importing.client.get("/v1/audit?policy=shared/g/p/1.0").json["records"][::-1]
    revision = importing.store.get(PolicyId("shared", "g", "p", "1.0")).revision
    assert answer.status == 200
    assert revision is not None
    assert (revision.author, revision.source.origin) == ("token:second", "import:peer")
    seen = [(each["actor"], each["action"]) for each in records]
    assert seen == [("token:first", "publish"), ("token:second", "lock"), ("token:second", "publish")]


def test_a_policy_that_is_edited_elsewhere_is_not_imported(make_server: Callable[..., Server]) -> None:
    """409, and where it is edited."""
    server = make_server(managed=lambda _policy: "its Git repository")
    trust(server, repositories=("shared",))

    answer = server.client.post("/v1/policy/import", bundle(), headers={"Accept": "application/problem+json"})

    assert (answer.status, answer.json["type"]) == (409, "/problems/managed-elsewhere")
    assert "shared/g/p/1.0 comes from its Git repository" in answer.json["detail"]


def test_a_foreign_repository_is_not_written(importing: Server) -> None:
    """403; its policy stays."""
    importing.publish("other/g/p/1.0", "package g.p\n\nours := 1\n")

    answer = importing.client.post("/v1/policy/import", OUTSIDE)

    assert (answer.status, answer.json["kind"]) == (403, 3)
    assert importing.client.get("/policy/other/g/p/1.0/evaluation").json == {"ours": 1}


def test_scheduled_imports_are_kept_listed_and_removed(server: Server) -> None:
    """With the field names of the original."""
    assert server.client.get(CONFIG).json == {"autoimport": []}
    made = {"policyURL": "https://peer.example.com/b.zip", "interval": "1h30m"}

    saved = server.client.post(CONFIG, json.dumps(made).encode())
    (listed,) = server.client.get(CONFIG).json["autoimport"]
    removed = server.client.ask("DELETE", CONFIG, body=json.dumps({"policyURL": made["policyURL"]}).encode())

    assert (saved.status, saved.json) == (200, made)
    assert re.fullmatch("[0-9a-f]{24}", listed["MongoID"])
    assert (listed["PolicyURL"], listed["Interval"]) == (made["policyURL"], 5_400_000_000_000)
    assert datetime.fromisoformat(listed["NextImport"]).tzinfo is not None
    assert (listed["LastAttempt"], listed["LastSuccess"], listed["Error"]) == (None, None, None)
    assert (removed.status, removed.json) == (200, {**made, "interval": "1h30m0s"})
    assert server.client.get(CONFIG).json == {"autoimport": []}


def test_the_same_url_again_replaces_the_interval(server: Server) -> None:
    """It keeps its id."""
    for interval in ("1h", "2h"):
        server.client.post(CONFIG, json.dumps({"policyURL": "https://a.example.com", "interval": interval}).encode())

    (listed,) = server.client.get(CONFIG).json["autoimport"]
    assert listed["Interval"] == 7_200_000_000_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "missing required payload"),
        ("  ", "missing required payload"),
        ("[]", "the body is not a JSON object"),
        ("{", "the body is not a JSON object"),
        ("{}", '"policyURL" is missing from body; "interval" is missing from body'),
        ('{"policyURL": "https://a"}', '"interval" is missing from body'),
        ('{"policyURL": "https://a", "interval": "1"}',
         'length of body.interval must be greater or equal than 2 but got value "1" (len=1)'),
        ('{"policyURL": "a/b", "interval": "1h"}', 'body.policyURL must be formatted as a uri but got value "a/b"'),
        ('{"policyURL": "https://a b", "interval": "1h"}', "body.policyURL must be formatted as a uri"),
        ('{"policyURL": "file:///etc/passwd", "interval": "1h"}', "policyURL must be an http or https address"),
        ('{"policyURL": 7, "interval": "1h"}', "body.policyURL must be formatted as a uri"),
        ('{"policyURL": "https://[", "interval": "1h"}', "body.policyURL must be formatted as a uri"),
        ('{"policyURL": "https://a", "interval": 7}', "body.interval must be a text"),
        ('{"policyURL": "https://a", "interval": "soon"}', "invalid interval definition: "),
        ('{"policyURL": "https://a", "interval": "-1h"}', "invalid interval definition: "),
        ('{"policyURL": "https://a", "interval": "0s"}', "invalid interval definition: "),
    ],
)  # fmt: skip
def test_a_scheduled_import_that_cannot_be(server: Server, body: str, message: str) -> None:
    """400, in the words of the original."""
    answer = server.client.post(CONFIG, body.encode())

    assert (answer.status, answer.json["kind"]) == (400, 1)
    assert answer.json["message"].startswith(message)
    assert server.client.get(CONFIG).json == {"autoimport": []}


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/b.zip", "http://10.0.0.1/", "http://169.254.169.254/latest"])
def test_a_scheduled_import_from_a_forbidden_network_is_refused_at_once(server: Server, address: str) -> None:
    """403 that names the setting, instead of a failure every interval."""
    answer = server.client.post(CONFIG, json.dumps({"policyURL": address, "interval": "1h"}).encode())

    assert (answer.status, answer.json["kind"]) == (403, 3)
    assert "POLICY_ALLOWED_NETWORKS" in answer.json["message"]
    assert server.client.get(CONFIG).json == {"autoimport": []}


def test_an_unknown_scheduled_import_cannot_be_removed(server: Server) -> None:
    """404, in the words of the original."""
    answer = server.client.ask("DELETE", CONFIG, body=b'{"policyURL": "https://a.example.com"}')

    assert (answer.status, answer.json["kind"], answer.json["message"]) == (
        404, 5, "cannot get auto import configuration",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [("PUT", CONFIG, "DELETE, GET, POST"), ("GET", "/v1/policy/import", "POST"), ("POST", f"{POLICY}/export", "GET")],
)
def test_other_methods_are_not_allowed(server: Server, method: str, target: str, allowed: str) -> None:
    """405, with the ones that are."""
    answer = server.client.ask(method, target)

    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", allowed)
