"""Imports: who may write what, and what stays."""

import json
from collections.abc import Callable

import pytest
from bundle_desk import START, Desk
from bundle_samples import REGO, bundle, metadata, public_jwk, signed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from policy_server.bundles.trust import Issuer
from policy_server.model.audit import AuditFilter
from policy_server.model.errors import (
    BrokenBundle,
    BundleUnverified,
    CompileError,
    ForeignPolicy,
    InputError,
    InvalidSource,
    PolicyServerError,
    StoreUnavailable,
)
from policy_server.model.policy import CompiledPolicy, PolicyFilter, PolicyId, PolicySource, PolicyState

ID = PolicyId("shared", "g", "p", "1.0")
EXPORT = '{"namespace": "n", "key": "k"}'
CONFIG = '{"url": "https://h.example.com/d", "method": "GET", "period": "1h"}'


def ids(desk: Desk) -> list[str]:
    """List what is in the store."""
    return [str(record.id) for record in desk.store.find(PolicyFilter(), limit=10).records]


def test_a_signed_policy_is_published(desk: Desk) -> None:
    """With all its parts, so that it can be exported again and its data fetched."""
    done = desk.importer.bring(bundle(data='{"a": 1}', data_config=CONFIG, export_config=EXPORT))

    assert (done.id, done.locked, done.last_update, done.signer) == (ID, False, "2024-01-02T03:04:05Z", "peer")
    revision = desk.store.get(ID).revision
    assert revision is not None
    assert (revision.source.rego, revision.data, revision.author) == (REGO, '{"a": 1}', "import:peer")
    assert (revision.source.data_config, revision.source.export_config) == (CONFIG, EXPORT)


def test_the_same_bundle_again_changes_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """No revision, no event, no line in the log."""
    caplog.set_level("INFO", "policy_server")
    desk.importer.bring(bundle())
    stamp, lines = desk.store.stamp(), len(caplog.messages)

    desk.importer.bring(bundle())

    assert (desk.store.stamp(), len(caplog.messages)) == (stamp, lines)
    assert "shared/g/p/1.0: imported, signed by peer" in caplog.messages


def test_a_lock_by_a_bundle_is_on_record(desk: Desk) -> None:
    """Once; the same bundle again locks nothing."""
    for _ in range(2):
        desk.importer.bring(bundle(locked=True))

    records = desk.store.audit.find(AuditFilter(), limit=10).records
    # Time stands still here, so that the order says nothing.
    seen = sorted((each.action, each.actor) for each in records)
    assert seen == [("lock", "import:peer"), ("publish", "import:peer")]


def test_a_newer_bundle_replaces_an_older_one(desk: Desk) -> None:
    """When the same signer sent both."""
    desk.importer.bring(bundle())

    desk.importer.bring(bundle(rego="package g.p\n\nallow := false\n"))

    revision = desk.store.get(ID).revision
    assert revision is not None
    assert revision.number == 2


def test_fetched_data_stays_when_the_configuration_does(desk: Desk) -> None:
    """As with every other publication."""
    desk.importer.bring(bundle(data_config=CONFIG))
    desk.publisher.publish_data(ID, '{"fetched": 1}', author="refresh")

    desk.importer.bring(bundle(data_config=CONFIG, rego="package g.p\n\nallow := 2\n"))

    revision = desk.store.get(ID).revision
    assert revision is not None
    assert revision.data == '{"fetched": 1}'


def test_an_import_does_not_unlock(desk: Desk) -> None:
    """The original did."""
    desk.importer.bring(bundle())
    desk.store.lock(ID, START)

    done = desk.importer.bring(bundle(rego="package g.p\n\nallow := 2\n", locked=False))

    assert done.locked
    assert ID in desk.store.locks()


def test_a_new_policy_is_locked_from_its_first_moment_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no second write, before which it would answer, and which a crash would leave out."""

    def away(*_args: object, **_more: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(type(desk.store), "lock", away)  # a crash after the first write

    assert desk.importer.bring(bundle(locked=True)).locked
    records = desk.store.audit.find(AuditFilter(), limit=9).records
    assert sorted(each.action for each in records) == ["lock", "publish"]


@pytest.mark.parametrize("known", [False, True])
def test_a_locked_policy_arrives_locked(desk: Desk, known: bool) -> None:
    """Whoever exported it had reasons."""
    if known:
        desk.importer.bring(bundle())

    done = desk.importer.bring(bundle(rego="package g.p\n\nallow := 2\n", locked=True))

    assert done.locked
    assert ID in desk.store.locks()


@pytest.mark.parametrize("policy", ["shared/g/p/1.0", "shared/g/other/1.0"])
def test_a_foreign_repository_is_not_written(desk: Desk, policy: str) -> None:
    """Neither its policies nor new ones beside them."""
    desk.publish("shared/g/p/1.0", "package g.p\n\nours := 1\n")
    stamp = desk.store.stamp()

    with pytest.raises(ForeignPolicy):
        desk.importer.bring(bundle(policy, rego=f"package g.{policy.split('/')[2]}\n\ntheirs := 1\n"))

    assert desk.store.stamp() == stamp


def test_a_repository_that_is_listed_is_written(make_desk: Callable[..., Desk]) -> None:
    """The operator said so."""
    desk = make_desk()
    desk.pin(repositories=["shared"])
    desk.publish("shared/g/p/1.0", "package g.p\n\nours := 1\n")

    desk.importer.bring(bundle())

    revision = desk.store.get(ID).revision
    assert revision is not None
    assert revision.source.rego == REGO


def test_only_repositories_that_are_listed_are_written(make_desk: Callable[..., Desk]) -> None:
    """Even when they are empty."""
    desk = make_desk()
    desk.pin(repositories=["theirs"])

    with pytest.raises(ForeignPolicy, match="may not write the repository shared"):
        desk.importer.bring(bundle())

    assert ids(desk) == []


def test_one_signer_does_not_replace_what_another_sent(desk: Desk) -> None:
    """Trusting two does not mean that they trust each other."""
    desk.pin("RSA", "second")
    desk.importer.bring(bundle())

    with pytest.raises(ForeignPolicy, match="not imported from second"):
        desk.importer.bring(bundle(kind="RSA", owner="second", rego="package g.p\n\nx := 1\n"))


def test_what_was_edited_here_is_not_replaced(desk: Desk) -> None:
    """An import on a schedule must not undo somebody's work."""
    desk.importer.bring(bundle())
    desk.publish("shared/g/p/1.0", "package g.p\n\nedited := 1\n")

    with pytest.raises(ForeignPolicy):
        desk.importer.bring(bundle(rego="package g.p\n\nx := 1\n"))


@pytest.mark.parametrize("known", [True, False])
def test_what_others_write_while_a_bundle_is_compiled_is_not_replaced(desk: Desk, known: bool) -> None:
    """Whose a policy is counts when it is written."""
    if known:
        desk.importer.bring(bundle(rego="package g.p\n\nold := 1\n"))
    compile_ = desk.publisher._compiler.compile

    def compile_slowly(source: PolicySource) -> CompiledPolicy:
        made = compile_(source)
        if source.rego == REGO:
            desk.publish("shared/g/p/1.0", "package g.p\n\nedited := 1\n")
        return made

    desk.publisher._compiler.compile = compile_slowly  # type: ignore[method-assign]
    with pytest.raises(ForeignPolicy):
        desk.importer.bring(bundle(rego=REGO))

    assert desk.store.get(ID).revision.author == "test"  # type: ignore[union-attr]


def test_a_forged_bundle_is_refused(desk: Desk, httpserver: HTTPServer) -> None:
    """Signed by an attacker whose own server offers the key."""
    httpserver.expect_request("/key").respond_with_data(public_jwk("P-256", "attacker"))
    desk.importer.bring(bundle())
    stamp = desk.store.stamp()

    with pytest.raises(BundleUnverified):
        desk.importer.bring(
            bundle(owner="attacker", rego="package g.p\n\nallow := 1\n", key_url=httpserver.url_for("/key"))
        )

    assert (desk.store.stamp(), httpserver.log) == (stamp, [])


def test_an_issuer_signs_for_its_own_policies(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> None:
    """Import from a peer that serves its key, as the original's exports name it."""
    httpserver.expect_request("/policy/shared/g/p/1.0/key").respond_with_data(public_jwk("Ed25519"))
    desk = make_desk(issuers=[Issuer(httpserver.url_for("/policy"))])

    done = desk.importer.bring(bundle(kind="Ed25519", key_url=httpserver.url_for("/policy/shared/g/p/1.0/key")))

    assert done.signer == httpserver.url_for("/policy")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (bundle(rego="package g.p\n\nallow := \n"), CompileError),
        (bundle(rego="package other.p\n\nx := 1\n"), InvalidSource),
        (bundle(data="[]"), InvalidSource),
        (bundle(output_schema='{"type": 7}'), InvalidSource),
        (signed([("metadata.json", metadata()), ("data.json", b"{}")]), BrokenBundle),
    ],
    ids=["syntax", "package", "data", "schema", "no rego"],
)
def test_what_cannot_be_published_leaves_nothing_behind(desk: Desk, content: bytes, error: type[Exception]) -> None:
    """A policy that is new here is not even listed as failed."""
    stamp = desk.store.stamp()

    with pytest.raises(error):
        desk.importer.bring(content)

    assert (ids(desk), desk.store.stamp()) == ([], stamp)


def test_a_bad_update_leaves_the_good_revision_answering(desk: Desk) -> None:
    """And says why the new one does not."""
    desk.importer.bring(bundle())

    with pytest.raises(CompileError):
        desk.importer.bring(bundle(rego="package g.p\n\nallow := \n"))

    record = desk.store.get(ID)
    assert record.state is PolicyState.STALE
    assert record.revision is not None
    assert record.revision.source.rego == REGO


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_typed_error_and_write_nothing(desk: Desk, content: bytes) -> None:
    """There is no other outcome."""
    stamp = desk.store.stamp()

    with pytest.raises(InputError):
        desk.importer.bring(content)

    assert (ids(desk), desk.store.stamp()) == ([], stamp)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_bundle_is_a_typed_error_and_writes_nothing(desk: Desk, data: st.DataObject) -> None:
    """Wherever a byte of it changed, unless that byte means nothing."""
    desk.pin("Ed25519")
    content = bytearray(bundle(kind="Ed25519"))  # the same bytes each time: this kind of signature has no dice in it
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))

    try:
        desk.importer.bring(bytes(content))
    except PolicyServerError:
        assert ids(desk) == []
    else:
        revision = desk.store.get(ID).revision
        assert revision is not None
        assert revision.source.rego == REGO
        desk.store.delete(ID)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    about=st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(
                ["policy", "name", "group", "version", "repository", "locked", "lastUpdate", "publicKeyURL"]
            ),
            inner,
        ),
        max_leaves=12,
    )
)
def test_any_metadata_is_a_typed_error_or_right(desk: Desk, about: object) -> None:
    """Even when it was signed."""
    content = signed([("metadata.json", json.dumps(about).encode()), ("policy.rego", REGO.encode())])

    with pytest.raises(PolicyServerError):
        desk.importer.bring(content)
