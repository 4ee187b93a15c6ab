"""Exports."""

from collections.abc import Callable

import pytest
from bundle_desk import Desk
from bundle_samples import REGO, public_jwk
from fake_signer import NAMES, run_signer
from pytest_httpserver import HTTPServer

from policy_server.bundles.contents import open_bundle, source_of
from policy_server.bundles.signers import RemoteSigner
from policy_server.model.access import TrustedKey
from policy_server.model.errors import BrokenBundle, ExportConfigInvalid, NotExportable, PolicyNotFound, SigningFailed
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

POLICY = PolicyId("r", "g", "p", "1.0")


@pytest.fixture
def exporting(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> Desk:
    """A desk whose bundles are signed by the signer service."""
    client = GuardedClient(NetworkGuard(["127.0.0.1", "localhost"]))
    return make_desk(signer=RemoteSigner(run_signer(httpserver), client))


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_what_is_exported_can_be_imported_elsewhere(
    exporting: Desk, make_desk: Callable[..., Desk], name: str, kind: str
) -> None:
    """By whoever trusts the key, for each kind of key."""
    export_config = f'{{"namespace": "transit", "key": "{name}"}}'
    exporting.publish(str(POLICY), REGO, data='{"a": 1}', export_config=export_config)
    other = make_desk()
    other.pin(kind, "signer")

    done = other.importer.bring(exporting.exporter.export(POLICY).content)

    revision = other.store.get(done.id).revision
    assert revision is not None
    assert (done.id, done.signer) == (POLICY, "signer")
    assert (revision.source.rego, revision.data, revision.source.export_config) == (REGO, '{"a": 1}', export_config)


def test_a_bundle_says_where_its_key_is(exporting: Desk) -> None:
    """Under the address that others see."""
    exporting.publish("r/g/p/1 0", REGO, export_config='{"namespace": "transit", "key": "ec"}')

    made = exporting.exporter.export(PolicyId("r", "g", "p", "1 0"))

    assert (made.name, made.media) == ("r_g_p_1_0.zip", "application/zip")
    assert open_bundle(made.content).metadata.key_url == "https://us.example.com/policy/r/g/p/1%200/key"


def test_what_is_signed_is_the_same_each_time(exporting: Desk) -> None:
    """Only signatures may have dice in them."""
    exporting.publish(str(POLICY), REGO, export_config='{"namespace": "transit", "key": "ed"}')

    assert exporting.exporter.export(POLICY).content == exporting.exporter.export(POLICY).content


def test_what_was_imported_can_be_exported_again(exporting: Desk) -> None:
    """The original forgot the export configuration."""
    exporting.publish(str(POLICY), REGO, export_config='{"namespace": "transit", "key": "ec"}')
    first = exporting.exporter.export(POLICY).content
    exporting.publisher.delete(POLICY, author="test")
    jwk = public_jwk("P-256", "signer")
    exporting.store.keys.save(TrustedKey("k", "signer", jwk, (), exporting.clock(), "test"))
    exporting.importer.bring(first)

    second = open_bundle(exporting.exporter.export(POLICY).content)

    assert source_of(second, origin="").rego == REGO


@pytest.mark.parametrize(
    ("export_config", "error"),
    [
        (None, NotExportable),
        ('{"namespace": 1, "key": "k"}', ExportConfigInvalid),
        ('{"namespace": "transit", "key": "none"}', SigningFailed),
    ],
)
def test_what_cannot_be_exported(exporting: Desk, export_config: str | None, error: type[Exception]) -> None:
    """No configuration, a wrong one, a key that the signer does not have; the same for the key."""
    exporting.publish(str(POLICY), REGO, **({} if export_config is None else {"export_config": export_config}))

    for ask in (exporting.exporter.export, exporting.exporter.key):
        with pytest.raises(error):
            ask(POLICY)


def test_unknown_and_broken_policies_cannot_be_exported(exporting: Desk) -> None:
    """There is nothing to pack."""
    with pytest.raises(PolicyNotFound):
        exporting.exporter.export(POLICY)
    with pytest.raises(Exception, match=r"policy\.rego"):
        exporting.publish(str(POLICY), "package g.p\n\nx := \n")

    with pytest.raises(BrokenBundle):
        exporting.exporter.export_opa(POLICY, wasm=False)
    with pytest.raises(NotExportable):
        exporting.exporter.export(POLICY)
