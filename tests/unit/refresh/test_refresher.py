"""Data is fetched on its schedule, once, and good data is never lost."""

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_httpserver import HTTPServer
from span_recorder import recording
from werkzeug import Request, Response

from policy_server.model.errors import (
    CompileError,
    FetchError,
    NotFound,
    PolicyNotFound,
    RefreshRunning,
    StoreUnavailable,
)
from policy_server.model.policy import PolicyId, PolicySource, PolicyState
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard
from policy_server.refresh.refresher import Refresher
from policy_server.storage.memory import MemoryStore

ID = PolicyId("r", "g", "n", "1.0")


def scheduled(
    url: str, *, name: str = "n", method: str = "GET", period: str = "60s", body: object = None
) -> PolicySource:
    """Write a policy whose data is fetched."""
    config = json.dumps({"url": url, "method": method, "period": period, "body": body})
    rego = f"package g.{name}\n\nx := data.x\n"
    return PolicySource(replace(ID, name=name), rego, data='{"x": "authored"}', data_config=config)


def test_data_is_fetched_and_published(refresher: Refresher, publisher, store, source: HTTPServer, time) -> None:
    """A new revision has the data; the state says how large, when, and when next."""
    source.expect_request("/d", query_string="k=1").respond_with_data('{"x": 1}')
    publisher.publish(scheduled(source.url_for("/d?k=1")), author="me")

    (state,) = refresher.run_due(time())

    revision = store.get(ID).revision
    assert (revision.number, revision.data, revision.author) == (2, '{"x": 1}', "refresh")
    assert (state.error, state.size, state.last_success) == (None, 8, time())
    assert state.next_run == time() + timedelta(seconds=60)
    assert store.refresh_state(ID) == state


def test_post_sends_the_body(refresher: Refresher, publisher, source: HTTPServer, time) -> None:
    """As JSON, and says that it is JSON."""
    source.expect_request(
        "/q", method="POST", json={"q": ["ü"]}, headers={"Content-Type": "application/json"}
    ).respond_with_json({"x": 1})
    publisher.publish(scheduled(source.url_for("/q"), method="POST", body={"q": ["ü"]}), author="me")

    (state,) = refresher.run_due(time())

    assert state.error is None


def test_nothing_is_fetched_before_its_time(refresher: Refresher, publisher, source: HTTPServer, time) -> None:
    """One period later, not sooner."""
    source.expect_request("/d").respond_with_json({})
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())

    assert refresher.run_due(time.pass_by(59)) == ()
    assert len(refresher.run_due(time.pass_by(1))) == 1
    assert len(source.log) == 2


def test_the_same_data_is_no_new_revision(refresher: Refresher, publisher, store, source: HTTPServer, time) -> None:
    """Only the state moves on."""
    source.expect_request("/d").respond_with_data('{"x": 1}')
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())

    (state,) = refresher.run_due(time.pass_by(60))

    assert store.get(ID).revision.number == 2
    assert state.last_success == time()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, "{}", "The data source answered 500 instead of 200."),
        (204, "", "The data source answered 204 instead of 200."),
        (404, "{}", "The data source answered 404 instead of 200."),
        (200, "[1]", "the answer: must be a JSON object, not an array"),
        (200, '{"x": }', "the answer:1:7: not valid JSON: Expecting value"),
        (200, "", "the answer:1:1: not valid JSON: Expecting value"),
        (200, b'{"x": "\xff"}', "The data source answered something that is not UTF-8."),
        (200, '{"x": "' + "y" * 1000 + '"}', "the answer is larger than 1000 bytes."),
    ],
)
def test_unusable_answers_keep_the_last_good_data(
    refresher: Refresher, publisher, store, source: HTTPServer, time, status: int, body: str, message: str
) -> None:
    """The error is listed, the policy answers as before, and it is tried again soon."""
    source.expect_oneshot_request("/d").respond_with_data('{"x": "good"}')
    source.expect_request("/d").respond_with_data(body, status=status)
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())

    (state,) = refresher.run_due(time.pass_by(60))

    record = store.get(ID)
    assert (record.revision.data, record.state) == ('{"x": "good"}', PolicyState.READY)
    assert state.error.endswith(message)
    assert (state.failures, state.size) == (1, 13)
    assert state.next_run == time() + timedelta(seconds=5)


def test_redirects_to_the_inside_are_errors(refresher: Refresher, publisher, source: HTTPServer, time) -> None:
    """A data source cannot send the server to a metadata service."""
    headers = {"Location": "http://169.254.169.254/latest/meta-data/"}
    source.expect_request("/d").respond_with_data("", status=302, headers=headers)
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    (state,) = refresher.run_due(time())

    assert state.error == "The data source answered 302; redirects are not followed."


def test_forbidden_networks_are_refused(publisher, store: MemoryStore, source: HTTPServer, time) -> None:
    """Without POLICY_ALLOWED_NETWORKS loopback is not asked, and the error says what to do."""
    guarded = Refresher(store, publisher, GuardedClient(NetworkGuard()), time, chance=lambda: 0.0)
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    (state,) = guarded.run_due(time())

    assert "POLICY_ALLOWED_NETWORKS" in state.error
    assert source.log == []


def test_a_source_that_is_away_is_tried_again_later_and_later(refresher: Refresher, publisher, time) -> None:
    """5, 10, 20 … seconds; secrets in the URL are not shown."""
    publisher.publish(scheduled("http://user:hunter2@127.0.0.1:9/d?token=hunter2"), author="me")
    pauses = []
    for _ in range(3):
        (state,) = refresher.run_due(time())
        pauses.append((state.next_run - time()).total_seconds())
        time.now = state.next_run

    assert pauses == [5, 10, 20]
    assert state.error == "GET http://127.0.0.1:9/d: the connection was refused."


def test_state_survives_a_restart(refresher, publisher, store, client, source: HTTPServer, time) -> None:
    """A new process goes on with the schedule instead of asking everybody at once."""
    source.expect_request("/d").respond_with_json({})
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())

    restarted = Refresher(store, publisher, client, time)

    assert restarted.run_due(time.pass_by(30)) == ()


def test_a_changed_configuration_is_due_at_once(
    refresher: Refresher, publisher, source: HTTPServer, time, store
) -> None:
    """And begins without the failures of the old one."""
    source.expect_request("/new").respond_with_json({"x": "new"})
    publisher.publish(scheduled(source.url_for("/old")), author="me")
    refresher.run_due(time())
    publisher.publish(scheduled(source.url_for("/new")), author="me")

    (state,) = refresher.run_due(time())

    assert (state.error, state.failures) == (None, 0)
    assert json.loads(store.get(ID).revision.data) == {"x": "new"}


def test_a_vanished_configuration_is_forgotten(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """Nothing is fetched any more, and the state is gone."""
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())
    publisher.publish(replace(scheduled("h.test"), data_config=None), author="me")

    assert refresher.run_due(time.pass_by(3600)) == ()
    assert store.refresh_states() == []


def test_a_broken_new_source_does_not_stop_the_refresh(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """The active revision's configuration counts; the failure stays listed."""
    source.expect_request("/d").respond_with_json({"x": 1})
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    with pytest.raises(CompileError):
        publisher.publish(replace(scheduled(source.url_for("/d")), rego="package g.n\n\nx :="), author="me")

    (state,) = refresher.run_due(time())

    assert state.error is None
    assert store.get(ID).state is PolicyState.STALE


def test_a_deleted_policy_is_not_fetched(refresher: Refresher, publisher, store, source: HTTPServer, time) -> None:
    """Its schedule goes with it."""
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.reconcile(time())
    publisher.delete(ID, author="me")

    assert refresher.run_due(time()) == ()
    assert store.refresh_states() == []


def test_a_policy_deleted_during_the_fetch_stays_deleted(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """The answer that comes too late revives nothing."""

    def delete(_request: Request) -> Response:
        publisher.delete(ID, author="me")
        return Response('{"x": 1}')

    source.expect_request("/d").respond_with_handler(delete)
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    assert refresher.run_due(time()) == ()
    assert store.refresh_states() == []
    with pytest.raises(PolicyNotFound):
        store.get(ID)


def test_data_of_a_configuration_that_changes_while_they_are_loaded_are_not_published(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """They are for another source than the one that answers by then."""
    source.expect_request("/old").respond_with_data('{"x": "old"}')
    publisher.publish(scheduled(source.url_for("/old")), author="me")

    def prove(_wasm: bytes, data: str | None) -> None:
        if data == '{"x": "old"}':
            publisher._prove = lambda _wasm, _data: None
            publisher.publish(scheduled(source.url_for("/new")), author="me")

    publisher._prove = prove
    refresher.run_due(time())

    revision = store.get(ID).revision
    assert (revision.data, revision.source.data_config) == (
        '{"x": "authored"}',
        scheduled(source.url_for("/new")).data_config,
    )


def test_data_of_an_old_configuration_is_not_published(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """When the configuration changes during the fetch, the new one is due."""

    def change(_request: Request) -> Response:
        publisher.publish(scheduled(source.url_for("/new")), author="me")
        return Response('{"x": "old"}')

    source.expect_request("/old").respond_with_handler(change)
    source.expect_request("/new").respond_with_json({"x": "new"})
    publisher.publish(scheduled(source.url_for("/old")), author="me")

    (state,) = refresher.run_due(time())

    assert (state.next_run, state.last_success) == (time(), None)
    assert json.loads(store.get(ID).revision.data) == {"x": "authored"}
    refresher.run_due(time())
    assert json.loads(store.get(ID).revision.data) == {"x": "new"}


def test_refresh_now_does_not_wait_for_the_schedule(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """Whoever asks gets the state afterwards, and the schedule begins anew."""
    source.expect_oneshot_request("/d").respond_with_json({"x": 1})
    source.expect_oneshot_request("/d").respond_with_json({"x": 2})
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    refresher.run_due(time())

    state = refresher.refresh_now(ID)

    assert state.error is None
    assert json.loads(store.get(ID).revision.data) == {"x": 2}
    assert refresher.run_due(time.pass_by(59)) == ()


def test_refresh_now_works_before_the_first_look(refresher: Refresher, publisher, store, source: HTTPServer) -> None:
    """A policy that was published a moment ago can be refreshed in any process."""
    source.expect_request("/d").respond_with_json({"x": 1})
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    assert refresher.refresh_now(ID).error is None
    assert store.refresh_state(ID).last_success is not None


def test_refresh_now_tells_a_failure(refresher: Refresher, publisher) -> None:
    """The state has the error; asking was fine."""
    publisher.publish(scheduled("http://127.0.0.1:9/d"), author="me")

    assert "refused" in refresher.refresh_now(ID).error


def test_refresh_now_needs_a_policy_with_a_schedule(refresher: Refresher, publisher) -> None:
    """Unknown policy and missing data-config are different answers."""
    with pytest.raises(PolicyNotFound):
        refresher.refresh_now(ID)
    publisher.publish(replace(scheduled("h.test"), data_config=None), author="me")
    with pytest.raises(NotFound, match=r"has no data-config\.json"):
        refresher.refresh_now(ID)


def test_one_policy_is_fetched_by_one_at_a_time(
    refresher: Refresher, publisher, store, client, source: HTTPServer, time
) -> None:
    """While one process fetches, another neither fetches on schedule nor on request."""
    asked, go_on = threading.Event(), threading.Event()

    def slowly(_request: Request) -> Response:
        asked.set()
        go_on.wait(10)
        return Response('{"x": 1}')

    source.expect_request("/d").respond_with_handler(slowly)
    publisher.publish(scheduled(source.url_for("/d")), author="me")
    other = Refresher(store, publisher, client, time)
    thread = threading.Thread(target=refresher.run_due, args=(time(),))
    thread.start()
    assert asked.wait(10)

    assert other.run_due(time()) == ()
    with pytest.raises(RefreshRunning):
        other.refresh_now(ID)
    go_on.set()
    thread.join(10)

    assert len(source.log) == 1
    assert other.run_due(time()) == ()  # it was just done


def test_a_slow_source_does_not_hold_up_the_others(
    refresher: Refresher, publisher, store, source: HTTPServer, time
) -> None:
    """Sources are asked side by side."""
    both = threading.Barrier(2, timeout=10)

    def together(_request: Request) -> Response:
        both.wait()  # breaks unless the other one is asked at the same time
        return Response("{}")

    source.expect_request("/a").respond_with_handler(together)
    source.expect_request("/b").respond_with_handler(together)
    publisher.publish(scheduled(source.url_for("/a"), name="a"), author="me")
    publisher.publish(scheduled(source.url_for("/b"), name="b"), author="me")

    states = refresher.run_due(time())

    assert [state.error for state in states] == [None, None]


def test_a_store_that_is_away_is_reported(publisher, client, time) -> None:
    """Whoever runs the refresher decides what to do."""

    class Away(MemoryStore):
        def stamp(self) -> int:
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        Refresher(Away(), publisher, client, time).run_due(time())


def test_leases_are_given_back(refresher: Refresher, publisher, store: MemoryStore, source: HTTPServer, time) -> None:
    """After a fetch the next one can begin at once, here or elsewhere."""
    source.expect_request("/d").respond_with_json({})
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    refresher.run_due(time())

    assert store.acquire(f"refresh:{ID}", "anybody", until=time(), at=time())


def test_each_fetch_is_a_trace(refresher: Refresher, publisher, source: HTTPServer, time, monkeypatch) -> None:
    """Of which policy, and whether it went well; the request to the source is a part of it."""
    source.expect_ordered_request("/d").respond_with_data('{"x": 1}')
    source.expect_ordered_request("/d").respond_with_data("geheim", status=500)
    publisher.publish(scheduled(source.url_for("/d?token=geheim")), author="me")

    with recording(monkeypatch) as recorder:
        refresher.run_due(time())
        refresher.run_due(time.pass_by(60))

    first, second = (each for each in recorder.spans if each.name == "data.refresh")
    assert (first.parent, first.failure, first.attributes) == (None, None, {"policy.id": str(ID)})
    assert (second.parent, second.failure) == (None, FetchError.slug)
    assert recorder.children(first) == recorder.children(second) == ["GET"]
    assert "geheim" not in str([each.attributes for each in recorder.spans])


def test_who_counts_hears_of_every_fetch(publisher, store, source: HTTPServer, time) -> None:
    """Of which policy, and whether it went well."""
    heard: list[tuple[str, bool]] = []
    client = GuardedClient(NetworkGuard(["127.0.0.1/32"]))
    refresher = Refresher(store, publisher, client, time, seen=lambda policy, ok, _at: heard.append((policy, ok)))
    source.expect_ordered_request("/d").respond_with_data('{"x": 1}')
    source.expect_ordered_request("/d").respond_with_data("no JSON")
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    refresher.run_due(time())
    refresher.run_due(time.pass_by(60))

    assert heard == [(str(ID), True), (str(ID), False)]


def test_a_killed_process_keeps_others_from_fetching_for_seconds_only(
    refresher: Refresher, publisher, store: MemoryStore, source: HTTPServer, time
) -> None:
    """However long a fetch may take: its lease is renewed while it goes on."""
    free: list[bool] = []

    def look(_request: Request) -> Response:
        for seconds in (5, 6):
            at = time() + timedelta(seconds=seconds)
            free.append(store.acquire(f"refresh:{ID}", "other", until=at, at=at))
        return Response("{}")

    source.expect_request("/d").respond_with_handler(look)
    publisher.publish(scheduled(source.url_for("/d")), author="me")

    refresher.run_due(time())

    assert free == [False, True]
