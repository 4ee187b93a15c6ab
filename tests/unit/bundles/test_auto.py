"""Imports on a schedule."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from bundle_desk import START, Desk
from bundle_samples import REGO, bundle
from pytest_httpserver import HTTPServer
from span_recorder import recording
from werkzeug import Request, Response

from policy_server.model.auto_import import AutoImport
from policy_server.model.errors import AutoImportNotFound, InvalidParameter, StoreUnavailable, TargetRefused
from policy_server.model.policy import PolicyId
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

ID = PolicyId("shared", "g", "p", "1.0")
HOUR = timedelta(hours=1)


def test_the_first_import_is_one_interval_after_the_configuration(desk: Desk, httpserver: HTTPServer) -> None:
    """And the next one an interval later."""
    httpserver.expect_request("/b.zip").respond_with_data(bundle())
    made = desk.auto.save(httpserver.url_for("/b.zip"), HOUR, by="me")

    assert desk.auto.run_due(desk.clock.forward(3599)) == ()
    (done,) = desk.auto.run_due(desk.clock.forward(1))

    assert made.next_import == START + HOUR
    assert (done.id, done.next_import) == (made.id, START + 2 * HOUR)
    assert (done.last_attempt, done.last_success, done.error) == (START + HOUR, START + HOUR, None)
    assert desk.auto.all() == [done] or tuple(desk.auto.all()) == (done,)
    revision = desk.store.get(ID).revision
    assert revision is not None
    assert revision.source.rego == REGO


def test_the_same_url_again_changes_the_interval(desk: Desk) -> None:
    """There is one configuration for each URL."""
    first = desk.auto.save("https://a.example.com/b.zip", HOUR, by="me")

    second = desk.auto.save("https://a.example.com/b.zip", 2 * HOUR, by="me")

    assert (second.id, second.next_import) == (first.id, START + 2 * HOUR)
    assert len(desk.auto.all()) == 1


def test_what_was_removed_is_gone(desk: Desk) -> None:
    """And cannot be removed twice."""
    desk.auto.save("https://a.example.com/b.zip", HOUR, by="me")

    assert desk.auto.remove("https://a.example.com/b.zip", by="me").interval == HOUR

    with pytest.raises(AutoImportNotFound):
        desk.auto.remove("https://a.example.com/b.zip", by="me")


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (404, b"", "status 404"),
        (302, b"", "status 302"),
        (200, b"no zip", "ZIP"),
        (200, b"x" * (1 << 21), "larger than"),
    ],
)
def test_a_failure_is_shown_and_waits_for_the_next_interval(
    desk: Desk, httpserver: HTTPServer, status: int, content: bytes, told: str
) -> None:
    """It is not tried again before."""
    httpserver.expect_request("/b.zip").respond_with_data(content, status, {"location": "/elsewhere"})
    desk.auto.save(httpserver.url_for("/b.zip"), HOUR, by="me")

    (failed,) = desk.auto.run_due(desk.clock.forward(3600))

    assert failed.error is not None
    assert told in failed.error
    assert (failed.last_success, failed.next_import) == (None, START + 2 * HOUR)
    assert desk.auto.run_due(desk.clock.at) == ()


def test_a_success_takes_the_failure_away(desk: Desk, httpserver: HTTPServer) -> None:
    """And remembers when it was."""
    httpserver.expect_ordered_request("/b.zip").respond_with_data(b"", 500)
    httpserver.expect_ordered_request("/b.zip").respond_with_data(bundle())
    desk.auto.save(httpserver.url_for("/b.zip"), HOUR, by="me")
    desk.auto.run_due(desk.clock.forward(3600))

    (done,) = desk.auto.run_due(desk.clock.forward(3600))

    assert (done.error, done.last_success) == (None, START + 2 * HOUR)


def test_one_failure_does_not_stop_the_others(desk: Desk, httpserver: HTTPServer) -> None:
    """Each has its own outcome."""
    httpserver.expect_request("/a.zip").respond_with_data(b"", 500)
    httpserver.expect_request("/b.zip").respond_with_data(bundle())
    for name in ("a", "b"):
        desk.auto.save(httpserver.url_for(f"/{name}.zip"), HOUR, by="me")

    done = desk.auto.run_due(desk.clock.forward(3600))

    assert [each.error is None for each in sorted(done, key=lambda each: each.url)] == [False, True]


def test_another_process_at_it_is_left_alone(desk: Desk, httpserver: HTTPServer) -> None:
    """While one imports, the same URL is not fetched by anybody else."""
    asked: list[object] = []

    def answer(_request: Request) -> Response:
        asked.append(desk.auto.run_due(desk.clock.at + 2 * HOUR))
        return Response(bundle())

    httpserver.expect_request("/b.zip").respond_with_handler(answer)
    desk.auto.save(httpserver.url_for("/b.zip"), HOUR, by="me")

    desk.auto.run_due(desk.clock.forward(3600))

    assert asked == [()]


def test_a_configuration_removed_meanwhile_stays_removed(desk: Desk, httpserver: HTTPServer) -> None:
    """The outcome of its last import does not bring it back."""
    url = httpserver.url_for("/b.zip")

    def answer(_request: Request) -> Response:
        desk.auto.remove(url, by="me")
        return Response(bundle())

    httpserver.expect_request("/b.zip").respond_with_handler(answer)
    desk.auto.save(url, HOUR, by="me")

    assert desk.auto.run_due(desk.clock.forward(3600)) == ()
    assert list(desk.auto.all()) == []


def test_an_interval_changed_meanwhile_stays_changed(desk: Desk, httpserver: HTTPServer) -> None:
    """The outcome is written beside it."""
    url = httpserver.url_for("/b.zip")

    def answer(_request: Request) -> Response:
        desk.auto.save(url, 3 * HOUR, by="me")
        return Response(bundle())

    httpserver.expect_request("/b.zip").respond_with_handler(answer)
    desk.auto.save(url, HOUR, by="me")

    (done,) = desk.auto.run_due(desk.clock.forward(3600))

    assert (done.interval, done.next_import, done.error) == (3 * HOUR, START + 4 * HOUR, None)


@pytest.mark.parametrize(
    ("url", "error"), [("http://127.0.0.1:1/b.zip", TargetRefused), ("file:///b.zip", InvalidParameter)]
)
def test_an_address_that_is_never_asked_is_not_kept(make_desk: Callable[..., Desk], url: str, error: type) -> None:
    """Whoever types it hears so at once."""
    desk = make_desk(client=GuardedClient(NetworkGuard()))

    with pytest.raises(error):
        desk.auto.save(url, HOUR, by="me")

    assert not desk.auto.all()


def test_a_forbidden_network_is_not_asked(make_desk: Callable[..., Desk], httpserver: HTTPServer) -> None:
    """The guard of outgoing requests decides, whatever was kept before, or by the policy service."""
    desk = make_desk(client=GuardedClient(NetworkGuard()))
    desk.store.auto_imports.save(AutoImport("0" * 24, httpserver.url_for("/b.zip"), HOUR, START + HOUR))

    (failed,) = desk.auto.run_due(desk.clock.forward(3600))

    assert failed.error is not None
    assert "loopback" in failed.error or "resolves to" in failed.error
    assert httpserver.log == []


def test_secrets_in_an_address_are_not_logged(
    desk: Desk, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its password nor its query."""
    address = httpserver.url_for("/b.zip?token=hush").replace("://", "://user:hush@")
    httpserver.expect_request("/b.zip").respond_with_data(b"", 500)
    desk.auto.save(address, HOUR, by="me")

    (failed,) = desk.auto.run_due(desk.clock.forward(3600))

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("policy_server")]
    assert len(ours) == 1
    assert "hush" not in ours[0] + str(failed.error)
    assert httpserver.log[0][0].authorization.password == "hush"


def test_a_crashed_process_is_waited_for_only_so_long(desk: Desk) -> None:
    """Then it is said that the store is busy."""
    desk.store.acquire("auto-imports", "crashed", until=START + HOUR, at=START)

    with pytest.raises(StoreUnavailable):
        desk.auto.save("https://a.example.com/b.zip", HOUR, by="me")


def test_each_import_is_a_trace(desk: Desk, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration is named by its id, because the address may hold a token."""
    httpserver.expect_request("/b.zip").respond_with_data(bundle())
    made = desk.auto.save(httpserver.url_for("/b.zip?token=geheim"), HOUR, by="me")
    missing = desk.auto.save(httpserver.url_for("/geheim.zip"), HOUR, by="me")

    with recording(monkeypatch) as recorder:
        desk.auto.run_due(desk.clock.forward(3600))

    tried = {each.attributes["bundle.auto_import"]: each for each in recorder.spans if each.name == "bundle.import"}
    assert tried[made.id].failure is None
    assert tried[missing.id].failure is not None
    assert recorder.children(tried[made.id]) == ["GET"]
    assert "geheim" not in str([each.attributes for each in recorder.spans])
