"""How decisions get from requests to sinks, and what is lost when that is not possible."""

import gc
import json
import logging
import time
import weakref

import pytest
from decision_samples import (
    NOON,
    POLICY,
    REQUEST,
    Counted,
    ListSink,
    Running,
    make_log,
    recorder,
    slip,
    unwritten,
)

from policy_server.decisions.buffer import Buffer
from policy_server.decisions.lane import Lane
from policy_server.decisions.taking import Request, Slip
from policy_server.model.decision import Question
from policy_server.model.errors import PolicyLocked
from policy_server.model.status import State


def test_every_sink_gets_every_record_in_order() -> None:
    """Batches are at most 200 records."""
    first, second, counts = ListSink(name="first"), ListSink(name="second"), Counted()

    with Running(make_log(first, second, counts=counts, limit=1000)) as log:
        for number in range(500):
            log.take([slip(number)], REQUEST)
        first.wait(500)
        second.wait(500)

    ids = [str(number) for number in range(500)]
    assert [each.decision_id for each in first.records] == [each.decision_id for each in second.records] == ids
    assert max(first.batches) <= 200
    assert counts.counts == {"first written": 500, "second written": 500}


def test_what_waits_at_a_stop_is_written() -> None:
    """Nothing is lost by a graceful stop."""
    sink = ListSink()

    with Running(make_log(sink, poll=30.0)) as log:
        for number in range(90):
            log.take([slip(number)], REQUEST)

    assert len(sink.records) == 90
    assert sink.closed.is_set()


def test_a_blocked_sink_holds_up_neither_requests_nor_other_sinks_nor_the_stop() -> None:
    """What has no room is dropped, the oldest first, and counted; the end comes when patience ends."""
    blocked, other, counts = ListSink(blocked=True, name="blocked"), ListSink(name="other"), Counted()
    log = make_log(blocked, other, counts=counts, limit=10, patience=0.2)

    with Running(log):
        log.take([slip(0)], REQUEST)
        other.wait(1)
        assert blocked.entered.wait(60)
        for number in range(1, 31):
            log.take([slip(number)], REQUEST)
            other.wait(number + 1)
        began = time.monotonic()
    took = time.monotonic() - began
    blocked.gate.set()

    assert took < 30
    assert counts.counts["other written"] == 31
    assert counts.counts["blocked dropped"] == 31
    assert (counts.counts["dropped sink_full"], counts.counts["dropped stopped"]) == (20, 11)


def test_the_oldest_go_when_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Counted each time, and told once a minute."""
    sink, counts, at = ListSink(), Counted(), [0.0]
    log = make_log(sink, counts=counts, limit=10, room=100, timer=lambda: at[0])
    with caplog.at_level(logging.WARNING):
        for second in (0, 30, 61):
            at[0] = second
            for number in range(15):
                log.take([slip(number)], REQUEST)
            log.work()

    messages = [record.getMessage() for record in caplog.records]
    assert counts.counts["dropped queue_full"] == 15
    assert [message.split(" ")[0] for message in messages] == ["5", "10"]
    assert (log.status().state, "10 decisions" in log.status().message) == (State.DEGRADED, True)
    at[0] = 200
    log.work()
    assert log.status().state is State.READY


def test_health_and_counts_do_not_name_the_address_of_a_server() -> None:
    """Everybody may read them; the log names it, without user and password."""
    address = "https://logs.example.org/hook/s3cret"
    sink, counts = ListSink(unwritten(f"{address} refuses"), name=address), Counted()
    lane = Lane(sink, 10, counts, lambda: NOON, first=0.001)
    lane._held = [recorder().record(slip(1))]

    said = [lane.status().message]
    lane._write()
    said.append(lane.status().message)

    assert said == ["server", "server: does not take records; the log says why"]
    assert counts.counts == {"server failed": 1}


def test_a_sink_that_fails_is_tried_again_and_health_says_so() -> None:
    """The same records come again until they are written."""
    sink, counts = ListSink(unwritten("disk full"), ValueError("secret"), name="file:/x"), Counted()
    lane = Lane(sink, 10, counts, lambda: NOON, first=0.001)
    records = [recorder().record(slip(number)) for number in range(3)]
    lane._held = records

    states = []
    for _ in range(3):
        lane._write()
        states.append((lane.status().state, lane.status().message))

    degraded = State.DEGRADED
    assert states == [(degraded, "file: disk full"), (degraded, "file: ValueError"), (State.READY, "file")]
    assert sink.records == records
    assert counts.counts == {"file failed": 6, "file written": 3}


def test_what_a_sink_never_takes_is_dropped() -> None:
    """Records that follow are not held up by it."""
    sink, counts = ListSink(unwritten("too large", final=True)), Counted()

    with Running(make_log(sink, counts=counts)) as log:
        log.take([slip(1)], REQUEST)
        assert sink.entered.wait(60)
        log.take([slip(2)], REQUEST)
        sink.wait(1)

    assert (counts.counts["dropped refused"], counts.counts["list written"]) == (1, 1)


def test_what_is_too_large_is_let_go_while_it_still_waits() -> None:
    """The queue is bounded in bytes, too; the record says what is missing and why."""
    sink, counts = ListSink(), Counted()
    large = slip(1, result=b'"%b"' % (b"x" * 2000))

    with Running(make_log(sink, counts=counts, most=1000)) as log:
        log.take([large], REQUEST)
        assert large.result is None
        [record] = sink.wait(1)

    body = json.loads(record.body)
    assert (body["erased"], "larger than" in body["note"], body["input"]) == (["/result"], True, {"n": 1})
    assert counts.counts["erased too_large"] == 1


@pytest.mark.parametrize(
    ("asked", "answered", "gone"),
    [
        (400, 500, ()),
        (600, 500, ("/input",)),
        (500, 600, ("/result",)),
        (600, 600, ("/result",)),
        (2000, 10, ("/input",)),
        (2000, 1500, ("/input", "/result")),
        (1500, 2000, ("/input", "/result")),
    ],
)
def test_as_much_as_fits_is_kept(asked: int, answered: int, gone: tuple[str, ...]) -> None:
    """The larger one goes first: a picture in an answer need not cost the question."""
    made = slip()
    made.input, made.result = b"x" * asked, b"x" * answered

    made.shrink(1000)

    assert made.oversize == gone


def test_a_record_that_cannot_be_made_does_not_stop_the_next() -> None:
    """Whatever is wrong with one."""
    sink, counts = ListSink(), Counted()
    broken = slip(1)
    broken.at_ns = None  # type: ignore[assignment]

    with Running(make_log(sink, counts=counts)) as log:
        log.take([broken], REQUEST)
        log.take([slip(2)], REQUEST)
        [record] = sink.wait(1)

    assert record.decision_id == "2"
    assert counts.counts["dropped unrecordable"] == 1


def test_texts_that_no_store_can_keep_are_recorded_all_the_same() -> None:
    """Half a character in an error of a policy costs the contents, not the record."""
    broken = slip(1)
    broken.errors = ("\ud800 4711",)
    counts = Counted()

    body = json.loads(recorder(counts).record(broken).body)

    assert ("input" in body, body["erased"]) == (False, ["/input", "/result"])
    assert counts.counts == {"erased mask_failed": 1}


def test_nobody_is_called_so_that_a_store_does_not_keep_what_he_asked() -> None:
    """PostgreSQL refuses NUL, which a subject of a token may have."""
    asked = slip(1)
    asked.request = Request(handler="/v1/data/{path}", status=200, requested_by="jwt:a\0b\ud800")

    record = recorder().record(asked)

    assert record.requested_by == json.loads(record.body)["requested_by"] == "jwt:a\ufffdb?"
    assert "input" in json.loads(record.body)


def test_a_buffer_drops_the_oldest() -> None:
    """And says how many, once."""
    buffer: Buffer[int] = Buffer(3)
    for number in range(5):
        buffer.put(number)

    assert (buffer.take(2), buffer.take(9), buffer.lost(), buffer.lost()) == ([2, 3], [4], 2, 0)


def test_what_waits_does_not_hold_on_to_its_request() -> None:
    """Neither by the question, whose headers are the request's, nor by the traceback of an error."""

    class Headers(dict[str, str]):
        """Can be watched."""

    def lock(_question: Question) -> None:
        raise PolicyLocked

    def refuse() -> tuple[Slip, weakref.ref[Headers]]:
        headers = Headers()
        question = Question(POLICY, b"{}", "g/p", headers=headers)
        try:
            lock(question)
        except PolicyLocked as error:
            return Slip(question, error=error), weakref.ref(headers)
        raise AssertionError

    waiting, headers = refuse()
    gc.collect()

    assert (waiting.error, headers()) == (("policy-locked", PolicyLocked().message), None)
