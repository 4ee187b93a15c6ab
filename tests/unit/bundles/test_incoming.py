"""OPA's bundles with a signature: imported by the same rules as the policy service's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_desk import Desk
from bundle_samples import KINDS, OPA_FILES, REGO, opa_signed, public_jwk
from fake_signer import NAMES, run_signer
from pytest_httpserver import HTTPServer

from policy_server.bundles.opa_archive import pack, unpack
from policy_server.bundles.opa_signatures import find_signature
from policy_server.bundles.signers import RemoteSigner
from policy_server.bundles.trust import Issuer
from policy_server.model.errors import (
    BrokenBundle,
    BundleUnverified,
    ForeignPolicy,
    InputError,
    NotExportable,
    PolicyServerError,
)
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

ID = PolicyId("shared", "g", "p", "1.0")
OTHER = PolicyId("shared", "g", "p", "2.0")
NAMELESS = {"p.rego": REGO.encode()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_key_vouches_for_opas_bundle(make_desk: Callable[..., Desk], kind: str) -> None:
    """The policy is its signer's, as with the other kind."""
    desk = make_desk()
    desk.pin(kind, repositories=["shared"])

    done = desk.importer.bring(opa_signed(kind, iat=1704164645))

    assert (done.id, done.locked, done.last_update, done.signer) == (ID, False, "2024-01-02T03:04:05Z", "peer")
    revision = desk.store.get(ID).revision
    assert revision is not None
    assert (revision.source.rego, json.loads(revision.data), revision.source.origin) == (
        REGO,
        {"admins": ["alice"], "n": 1.5},
        "import:peer",
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (pack(OPA_FILES), "nobody vouches"),
        (opa_signed(owner="attacker"), "No pinned key"),
        (opa_signed(scope="write"), "No pinned key has signed this bundle for the scope 'write'"),
        (pack({**unpack(opa_signed()), "g/p/policy.rego": b"package g.p\n\nallow := false\n"}), "not the file"),
        (pack({**unpack(opa_signed()), "more_test.rego": b"package g.p_test"}), "not in the bundle's signature"),
    ],
    ids=["unsigned", "stranger", "scope", "changed", "more"],
)
def test_nothing_else_is_believed(desk: Desk, content: bytes, told: str) -> None:
    """And nothing is written."""
    stamp = desk.store.stamp()

    with pytest.raises(BundleUnverified, match=told):
        desk.importer.bring(content)

    assert desk.store.stamp() == stamp


@pytest.mark.parametrize(
    ("members", "claims", "good"),
    [
        ({}, {}, True),
        ({"scope": "write"}, {"scope": "write"}, True),
        ({"scope": "write"}, {}, False),
        ({"alg": "ES256"}, {}, True),
        ({"alg": "ES384"}, {}, False),
    ],
)
def test_a_key_may_be_trusted_for_a_scope_or_an_algorithm(
    make_desk: Callable[..., Desk], tmp_path: Path, members: dict[str, str], claims: dict[str, str], good: bool
) -> None:
    """Members of its JWK say so."""
    (tmp_path / "keys.json").write_text(json.dumps({**json.loads(public_jwk("P-256")), **members}))
    desk = make_desk(file=tmp_path / "keys.json")

    if good:
        assert desk.importer.bring(opa_signed(**claims)).id == ID
    else:
        with pytest.raises(BundleUnverified):
            desk.importer.bring(opa_signed(**claims))


def test_the_rules_about_who_may_write_what_are_the_same(desk: Desk) -> None:
    """A repository that others write is not written."""
    desk.publish("shared/g/other/1.0", "package g.other\n\nx := 1\n")

    with pytest.raises(ForeignPolicy):
        desk.importer.bring(opa_signed())


def test_a_name_is_given_where_the_bundle_has_none(desk: Desk) -> None:
    """And only there: a name that was signed stays."""
    assert desk.importer.bring(opa_signed(files=NAMELESS), named=OTHER).id == OTHER
    for content, named in ((opa_signed(files=NAMELESS), None), (opa_signed(), OTHER)):
        with pytest.raises(InputError):
            desk.importer.bring(content, named=named)
    with pytest.raises(BrokenBundle):
        desk.importer.bring(opa_signed(files=NAMELESS), named=PolicyId("..", "g", "p", "1"))


def test_a_signed_bundle_that_is_no_policy_is_told(desk: Desk) -> None:
    """After the signature was good."""
    with pytest.raises(BrokenBundle, match="0 Rego modules"):
        desk.importer.bring(opa_signed(files={"data.json": b"{}"}))


def test_the_issuer_says_where_his_key_is(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> None:
    """He is believed when he is trusted; to OPA `iss` means nothing."""
    httpserver.expect_request("/policy/key").respond_with_data(public_jwk("P-256"))
    desk = make_desk(issuers=[Issuer(httpserver.url_for("/policy"))])

    assert desk.importer.bring(opa_signed(iss=httpserver.url_for("/policy/key"))).id == ID
    with pytest.raises(BundleUnverified):
        desk.importer.bring(opa_signed(iss="https://attacker.example.com/key"))
    assert len(httpserver.log) == 1


@pytest.fixture
def exporting(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> Desk:
    """A desk with the signer service."""
    guard = NetworkGuard(["127.0.0.1", "localhost"])
    return make_desk(signer=RemoteSigner(run_signer(httpserver), GuardedClient(guard, max_bytes=1 << 16)))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_signer_service_signs_opas_bundles(
    exporting: Desk, make_desk: Callable[..., Desk], name: str, kind: str
) -> None:
    """So that whoever trusts its key imports them: with scope, issuer and time."""
    config = json.dumps({"namespace": "transit", "key": name})
    exporting.publish(str(ID), REGO, data='{"n": 1.50}', export_config=config)
    content = exporting.exporter.export_opa(ID, wasm=True, signed=True).content
    other = make_desk()
    other.pin(kind, "signer")

    assert other.importer.bring(content).last_update == "2026-01-02T03:04:05Z"
    signature = find_signature(unpack(content))
    assert set(signature.files) == {".manifest", "data.json", "g/p/policy.rego", "policy.wasm"}
    assert signature.issuer == "https://us.example.com/policy/shared/g/p/1.0/key"
    assert signature.token.key_id == json.loads(public_jwk(kind, "signer"))["kid"]
    scoped = exporting.exporter.export_opa(ID, wasm=False, signed=True, scope="write").content
    assert find_signature(unpack(scoped)).scope == "write"


def test_what_may_not_be_exported_is_not_signed_for_opa(exporting: Desk) -> None:
    """It takes the same permission as the other kind: export-config.json."""
    exporting.publish(str(ID), REGO)

    with pytest.raises(NotExportable):
        exporting.exporter.export_opa(ID, wasm=False, signed=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"PK", opa_signed()[:-9], opa_signed(files={})],
    ids=["empty", "gzip", "zip", "cut off", "no files"],
)
def test_any_bytes_are_one_of_our_errors(desk: Desk, content: bytes) -> None:
    """Never another one."""
    with pytest.raises(PolicyServerError):
        desk.importer.bring(content)
