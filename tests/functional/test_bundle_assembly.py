"""Two servers as the settings make them: one exports with the signer service, the other imports on a schedule."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bundle_samples import REGO, bundle, public_jwk
from fake_signer import run_signer
from functional_server import ROOT
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from policy_server.assembly import Assembly, assemble
from policy_server.bundles.contents import open_bundle
from policy_server.bundles.signers import LocalSigner, NoSigner, RemoteSigner
from policy_server.model.errors import ManagedElsewhere, PolicyNotFound
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.settings import load_settings

POLICY = PolicyId("shared", "g", "p", "1.0")


@pytest.fixture
def make_assembly(tmp_path: Path) -> Iterator[Callable[..., Assembly]]:
    """Make servers of settings, each with a database of its own."""
    made: list[Assembly] = []

    def make(**overrides: object) -> Assembly:
        state = tmp_path / str(len(made))
        state.mkdir()
        given = {"state_dir": str(state), "cache_dir": str(ROOT / ".cache"), "bundled": "off", **overrides}
        made.append(assemble(load_settings(environ={"HOME": str(tmp_path)}, overrides=given)))
        return made[-1]

    yield make
    for assembly in made:
        assembly.close()


def test_the_settings_choose_who_signs(make_assembly: Callable[..., Assembly], tmp_path: Path) -> None:
    """A key of our own comes before the service; without both nobody signs."""
    service = {"signer_url": "http://signer:8080"}

    assert isinstance(make_assembly().exchange.signer, NoSigner)
    assert isinstance(make_assembly(**service).exchange.signer, RemoteSigner)
    assert isinstance(make_assembly(**service, bundle_key=str(tmp_path / "key.pem")).exchange.signer, LocalSigner)


def test_the_signer_may_be_in_any_network_because_it_was_named(
    make_assembly: Callable[..., Assembly], httpserver: HTTPServer
) -> None:
    """Here on loopback, which no policy's data may be fetched from."""
    assembly = make_assembly(signer_url=run_signer(httpserver), external_url="https://us.example.com/")
    source = PolicySource(POLICY, REGO, export_config='{"namespace": "transit", "key": "rsa"}')
    assembly.publisher.publish(source, author="test")

    made = assembly.exchange.bundles.exporter.export(POLICY)

    assert open_bundle(made.content).metadata.key_url == "https://us.example.com/policy/shared/g/p/1.0/key"


@pytest.mark.parametrize("feed", ["folder", "git"])
def test_what_a_feed_brings_is_not_imported(make_assembly: Callable[..., Assembly], tmp_path: Path, feed: str) -> None:
    """Whatever the signer may write: the feed would undo it, and the import the feed."""
    trusted = tmp_path / "trusted.json"
    trusted.write_text(public_jwk("P-256"))
    feeds = {
        "folder": {"folders": f"shared={tmp_path}"},
        "git": {"git": {"shared": {"url": "https://h.example.com/r"}}},
    }
    assembly = make_assembly(bundle_trusted_keys=str(trusted), **feeds[feed])

    with pytest.raises(ManagedElsewhere, match="comes from"):
        assembly.exchange.bundles.importer.bring(bundle())

    with pytest.raises(PolicyNotFound):
        assembly.store.get(POLICY)


def test_due_bundles_are_imported_in_the_background(
    make_assembly: Callable[..., Assembly], httpserver: HTTPServer
) -> None:
    """By whoever holds the lease, from an issuer that is trusted in the settings."""
    asked_again = threading.Event()
    served: list[object] = []

    def serve(request: Request) -> Response:
        served.append(request)
        if len(served) == 2:
            asked_again.set()
        return Response(bundle(key_url=httpserver.url_for("/policy/shared/g/p/1.0/key")))

    httpserver.expect_request("/b.zip").respond_with_handler(serve)
    httpserver.expect_request("/policy/shared/g/p/1.0/key").respond_with_data(public_jwk("P-256"))
    assembly = make_assembly(
        bundle_issuers=httpserver.url_for("/policy"), allowed_networks="localhost", auto_import_poll_interval="0.05"
    )
    assembly.exchange.bundles.auto.save(httpserver.url_for("/b.zip"), timedelta(microseconds=1), by="me")
    stop = threading.Event()
    thread = threading.Thread(target=assembly.chores.background.supervise, args=(stop,))

    thread.start()
    # The second fetch begins after the first import was written.
    came = asked_again.wait(60)
    stop.set()
    thread.join(30)

    (done,) = assembly.exchange.bundles.auto.all()
    assert (came, done.error) == (True, None)
    assert done.last_success is not None
    revision = assembly.store.get(POLICY).revision
    assert revision is not None
    assert (revision.number, revision.source.rego) == (1, REGO)


def test_a_newer_bundle_of_the_same_signer_is_taken_after_a_restart(
    make_assembly: Callable[..., Assembly], tmp_path: Path
) -> None:
    """The store remembers where a policy came from; a new one that does not load leaves nothing there."""
    trusted = tmp_path / "trusted.json"
    trusted.write_text(public_jwk("P-256"))
    settings = {"bundle_trusted_keys": str(trusted), "storage_url": f"sqlite:///{tmp_path}/shared.db"}
    make_assembly(**settings).exchange.bundles.importer.bring(bundle())

    again = make_assembly(**settings)
    again.exchange.bundles.importer.bring(bundle(rego="package g.p\n\nallow := false\n"))

    revision = again.store.get(POLICY).revision
    assert revision is not None
    assert (revision.number, revision.source.origin[:7]) == (2, "import:")
