"""What is recorded of decisions, whichever door they were asked at."""

import gzip
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from decision_servers import ECHO, PLAIN, Recorded, recording
from event_receivers import receiving
from span_recorder import recording as tracing

from policy_server.model.logged import DecisionFilter
from policy_server.model.policy import PolicyId, PolicySource
from policy_server.model.status import State

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Recorded]:
    """A server that records into a file."""
    with recording(tmp_path) as made:
        yield made


def test_an_evaluation_is_recorded_with_opas_names(server: Recorded) -> None:
    """What was asked and answered, by which revision from which commit, for whom and in which request."""
    headers = {"X-Evaluation-Id": "mine", "X-Request-Id": "r-1", "Traceparent": TRACE}
    server.client.post(f"/policy/{PLAIN}/evaluation", b'{"user": "ada", "n": 1.10}', headers=headers)

    [record] = server.records()
    metrics, labels = record.pop("metrics"), record.pop("labels")
    [bundle] = record.pop("bundles").values()
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "decision_id": "mine",
        "path": "g/plain",
        "policy": "r/g/plain/1.0",
        "endpoint": "evaluation",
        "outcome": "answered",
        "input": {"user": "ada", "n": 1.1},
        "result": {"allow": True},
        "requested_by": "anonymous",
        "http_status": 200,
        "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    assert (bundle["revision"], bundle["origin"], len(bundle["digest"])) == ("1", "git:rules@0123abc", 64)
    assert metrics["timer_rego_query_eval_ns"] > 0
    assert set(labels) == {"id", "version"}


def test_a_record_names_the_span_of_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the trace finds the decision, and the other way round; failures have their id, too."""
    with tracing(monkeypatch) as recorder, recording(tmp_path) as server:
        failing = PolicySource(PolicyId("r", "g", "conflict", "1.0"), "package g.conflict\n\nx := 1\n\nx := input.n\n")
        server.assembly.publisher.publish(failing, author="test")
        server.client.post(f"/policy/{PLAIN}/evaluation", b'{"user": "ada"}')
        server.client.post("/policy/r/g/conflict/1.0/evaluation", b'{"n": 2}')

        records = server.records()
        requests = [each for each in recorder.spans if each.name.startswith("POST")]
        evaluations = [each for each in recorder.spans if each.name == "policy.evaluate"]
        assert [each["span_id"] for each in records] == [each.trace.span_id for each in requests]
        assert [each["decision_id"] for each in records] == [
            each.attributes["policy.decision_id"] for each in evaluations
        ]
        assert len(records) == 2


def test_every_door_is_recorded(server: Recorded) -> None:
    """Evaluation, validation, OPA's data API, AuthZEN alone and in a batch, and Pexip."""
    entity = b'"subject": {"type": "u", "id": "a"}, "action": {"name": "read"}, "resource": {"type": "d", "id": "1"}'
    server.client.post(f"/policy/{PLAIN}/evaluation", b'{"user": "ada"}')
    server.client.post(f"/policy/{PLAIN}/validation", b'{"user": "ada"}')
    server.client.post("/v1/data/g/plain", b'{"input": {"user": "bob"}}')
    server.client.post("/access/v1/evaluation", b"{%b}" % entity)
    server.client.post("/access/v1/evaluations", b'{%b, "evaluations": [{}, {}]}' % entity)
    server.service("room@example.com")

    records = server.records()
    doors = [each["endpoint"] for each in records]
    assert doors == ["evaluation", "validation", "data", "authzen", "authzen", "authzen", "pexip"]
    assert [each["path"] for each in records][2:4] == ["g/plain", "g/echo/decision"]
    assert len({each["decision_id"] for each in records}) == len(records)


def test_pexips_outcomes_are_recorded(server: Recorded) -> None:
    """Answered, no opinion, fallback with its reason, and off; with the alias that was dialed."""
    for alias in ("room@example.com", "leave@example.com", "wrong@example.com"):
        server.service(alias)
    server.assembly.answers._routes.clear()
    server.service("room@example.com")

    answered, left, wrong, off = server.records()
    assert [each["outcome"] for each in (answered, left, wrong, off)] == ["answered", "no_opinion", "fallback", "off"]
    assert (answered["kind"], answered["alias"]) == ("service", "room@example.com")
    assert (answered["path"], answered["requested_by"]) == ("pexip/service/decision", "pexip")
    assert (left["http_status"], "error" in left) == (404, False)
    assert (wrong["reason"], wrong["error"]["code"]) == ("output-invalid", "output-invalid")
    assert wrong["result"] == {"action": "nonsense"}
    assert ("input" in off, "policy" in off) == (False, False)


def test_what_could_not_be_decided_is_recorded_with_its_error(server: Recorded) -> None:
    """Unknown, locked, failed, not fitting the schema; with the status that the caller saw."""
    server.client.post(f"/policy/{PLAIN}/lock")
    for target in ("r/g/none/1.0/evaluation", f"{PLAIN}/evaluation"):
        server.client.post(f"/policy/{target}", b"{}")
    server.client.ask("DELETE", f"/policy/{PLAIN}/lock")
    server.client.post(f"/policy/{PLAIN}/validation", b'{"user": "bob"}')

    records = server.records()
    assert [(each["error"]["code"], each["http_status"]) for each in records] == [
        ("policy-not-found", 404),
        ("policy-locked", 403),
        ("output-invalid", 500),
    ]
    assert {each["outcome"] for each in records} == {"failed"}
    assert records[2]["result"] == {"allow": False}


def test_a_body_with_more_than_one_value_is_one_decision(server: Recorded) -> None:
    """The policy service reads the first value; that is what was decided."""
    server.client.post(f"/policy/{ECHO}/evaluation", b'{"decision": 1} trailing')
    server.client.post(f"/policy/{ECHO}/evaluation", b"not json")

    [record] = server.records()
    assert record["input"] == {"decision": 1}


def test_pages_and_lists_are_no_decisions(server: Recorded) -> None:
    """Only what asked a policy is recorded."""
    for target in ("/readyz", "/v1/policies", "/v1/data/no/such", "/nothing"):
        server.client.get(target)
    server.client.post(f"/policy/{PLAIN}/evaluation", b"{}")

    assert len(server.records()) == 1


def test_an_input_that_is_null_is_not_an_input_that_is_missing(server: Recorded) -> None:
    """The data API knows the difference."""
    server.client.post("/v1/data/g/echo", b'{"input": null}')
    server.client.post("/v1/data/g/echo", b"{}")

    null, missing = server.records()
    assert ("input" in null, "input" in missing) == (True, False)


def test_a_pin_never_gets_into_a_record(server: Recorded) -> None:
    """From a query, from a policy's answer, and where a policy repeats it in a text."""
    server.service("room@example.com", "&pin=918273&third_party_passcode=hunter22")
    server.client.get("/cdr/hidden-prefix/policy/v1/service/configuration?local_alias=room%40example.com")

    records = server.records()
    text = json.dumps(records)
    assert records[0]["result"]["result"]["pin"] == "**********"
    assert records[0]["result"]["result"]["service_tag"] == "opened with **********"
    assert "/input/params/pin" in records[0]["masked"]
    assert [secret for secret in ("918273", "hunter22", "47112931", "hidden-prefix") if secret in text] == []


def test_no_sink_gets_a_pin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines of the log, a file, the store, and another server; nor does the server's own log."""
    file, lines = tmp_path / "decisions.jsonl", logging.getLogger("decision")
    lines.addHandler(caplog.handler)
    lines.setLevel(logging.INFO)
    with receiving() as make:
        receiver = make(200)
        with recording(tmp_path, decision_log=f"log,store,file:{file},{receiver.url}") as server:
            for alias in ("room@example.com", "wrong@example.com", "none@example.com"):
                server.service(alias, "&pin=918273&third_party_passcode=hunter22")
            store = server.assembly.store
            server.assembly.close()
        uploaded = [json.loads(gzip.decompress(call.body)) for call in receiver.calls]
        kept = [each.body for each in store.decisions.find(DecisionFilter(), limit=9).decisions]
    lines.removeHandler(caplog.handler)
    # A set: without the server's set-up, a line also goes to the root's handler.
    written = sorted({record.getMessage() for record in caplog.records})

    assert [len(batch) for batch in uploaded] == [3]
    assert len(kept) == len(file.read_text().splitlines()) == sum("decision_id" in line for line in written) == 3
    everything = json.dumps([uploaded, kept, written, file.read_text()])
    assert [secret for secret in ("918273", "hunter22", "47112931") if secret in everything] == []


def test_an_authorization_header_never_gets_into_a_record(server: Recorded) -> None:
    """Headers are no part of a record."""
    server.client.post(f"/policy/{ECHO}/evaluation", b"{}", headers={"Authorization": "Bearer abcdefghijkl"})

    assert "abcdefghijkl" not in json.dumps(server.records())


def test_masks_of_the_settings_hide_more(tmp_path: Path) -> None:
    """Taken out, replaced by a keyed hash, or by a text."""
    masks = "/input/user,/input/friends/*/name=hash,/result/seen/place=text:somewhere"
    body = {"user": "ada.lovelace", "friends": [{"name": "bob"}, {"name": "bob"}], "place": "Paris"}
    with recording(tmp_path, decision_log_mask=masks, decision_log_hash_key="k") as server:
        answer = server.client.post(f"/policy/{ECHO}/evaluation", json.dumps(body).encode())

        [record] = server.records()

    assert answer.json == {"seen": body}  # the caller sees everything
    assert (record["erased"], "user" in record["input"]) == (["/input/user"], False)
    first, second = record["input"]["friends"]
    assert first == second
    assert first["name"].startswith("hmac-sha256:")
    assert record["result"]["seen"]["place"] == "somewhere"
    assert "ada.lovelace" not in json.dumps(record)
    assert record["masked"] == ["/input/friends/0/name", "/input/friends/1/name", "/result/seen/place"]


def test_what_cannot_be_masked_is_kept_without_its_contents(server: Recorded) -> None:
    """Here because it is nested too deeply; the counter tells."""
    server.client.post(f"/policy/{PLAIN}/evaluation", b'{"pin": "918273", "deep": %b}' % (b"[" * 990 + b"]" * 990))

    [record] = server.records()
    assert (record["erased"], "input" in record, "result" in record) == (["/input", "/result"], False, False)
    assert "918273" not in json.dumps(record)
    assert 'policy_decision_log_erased_total{reason="mask_failed"} 1.0' in server.assembly.metrics.render().decode()


@pytest.mark.parametrize(
    ("overrides", "noted"), [({"decision_log_input": "false"}, False), ({"decision_log_max_bytes": "500"}, True)]
)
def test_contents_can_be_left_out(tmp_path: Path, overrides: dict[str, str], noted: bool) -> None:
    """All of them, or those that are too large; the record says so."""
    with recording(tmp_path, **overrides) as server:
        server.client.post(f"/policy/{ECHO}/evaluation", json.dumps({"text": "x" * 600}).encode())

        [record] = server.records()

    assert (record["erased"], "input" in record, "result" in record) == (["/input", "/result"], False, False)
    assert ("note" in record) is noted


def test_nothing_is_recorded_unless_asked_for(tmp_path: Path) -> None:
    """Off is the default: no thread, no file, no subsystem."""
    with recording(tmp_path, decision_log="off") as server:
        server.service("room@example.com")

        assert server.assembly.recording.log is None
        assert "decisions" not in server.client.get("/readyz?verbose").body.decode()
        assert not server.file.exists()


def test_a_sink_that_blocks_delays_no_call_and_no_stop(tmp_path: Path) -> None:
    """A pipe that nobody reads: a thousand calls are answered, what has no room is counted, and the process ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with recording(tmp_path, decision_log=f"file:{pipe}", decision_log_queue="100") as server:
        statuses = {server.service("room@example.com") for _ in range(1000)}
        metrics = wait_for_drops(server)
        health = server.client.get("/readyz?verbose").json
        began = time.monotonic()
        server.assembly.close()
        took = time.monotonic() - began
        # Let the thread go that is stuck in opening the pipe.
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        for thread in threading.enumerate():
            if thread.name.startswith("decisions "):
                thread.join(30)
        os.close(reader)

    assert statuses == {200}
    assert took < 20
    lost = sum(float(line.split()[-1]) for line in metrics if line.startswith("policy_decision_log_dropped_total{"))
    assert 500 <= lost <= 1000
    [check] = [each for each in health["checks"] if each["name"] == "decisions"]
    assert (check["state"], "not recorded" in check["message"]) == ("degraded", True)


def wait_for_drops(server: Recorded) -> list[str]:
    """Wait until the thread has looked at all that waits; return the lines of the metrics."""
    log = server.assembly.recording.log
    assert log is not None
    while len(log._waiting) or log.status().state is State.READY:
        server.assembly._stop.wait(0.01)
    return server.assembly.metrics.render().decode().splitlines()


def test_a_server_that_is_away_delays_no_call(tmp_path: Path) -> None:
    """Health names it, without its password; calls go on."""
    with recording(tmp_path, decision_log="http://ada:hunter22@127.0.0.1:1/opa,store") as server:
        assert server.service("room@example.com") == 200
        log = server.assembly.recording.log
        while log.status().state is State.READY:
            server.assembly._stop.wait(0.01)
        health = server.client.get("/readyz?verbose")

        assert "server: does not take records" in health.body.decode()
        assert "127.0.0.1:1" not in health.body.decode() + server.assembly.metrics.render().decode()
        assert "hunter22" not in health.body.decode() + server.assembly.metrics.render().decode()
        while not server.client.get("/v1/decisions").json["decisions"]:
            server.assembly._stop.wait(0.01)


def test_recording_never_changes_an_answer(tmp_path: Path) -> None:
    """The same bytes with and without it, however much is masked."""
    bodies = [
        b'{"decision": {"pin": "918273", "a": [1.50, 1e3]}}',
        b"{}",
        b'"text"',
        b"not json",
        b'{"decision": null}',
    ]
    (tmp_path / "on").mkdir()
    (tmp_path / "off").mkdir()
    with (
        recording(tmp_path / "on", decision_log_mask="/input/decision,/result/seen/*=text:x") as on,
        recording(tmp_path / "off", decision_log="off") as off,
    ):
        for target in (f"/policy/{ECHO}/evaluation", "/v1/data/g/echo/seen", f"/policy/{PLAIN}/validation"):
            for body in bodies:
                headers = {"X-Evaluation-Id": "e", "X-Request-Id": "r"}
                first, second = (each.client.post(target, body, headers=headers) for each in (on, off))

                assert first.status == second.status
                assert comparable(first.body) == comparable(second.body)


def comparable(body: bytes) -> bytes:
    """Return an answer without the ids that are drawn anew for each request."""
    return re.sub(rb'"(decision_id|id)":"[^"]*"', rb"", body)
