"""Spans belong together, say what failed, and nothing that is secret."""

from dataclasses import replace

import pytest
from span_recorder import Recorder

from policy_server.model.errors import BuiltinFailed, FetchError
from policy_server.tracing import spans
from policy_server.tracing.spans import NOTHING, around, asking, span
from policy_server.tracing.trace import Trace, here


def test_spans_in_each_other_belong_to_one_trace(recorder: Recorder) -> None:
    """And the place is what it was when one is over."""
    with span("outer") as outer:
        with span("inner", {"n": 1}) as inner:
            assert here.get() == inner.trace
        assert here.get() == outer.trace
    with span("another"):
        pass

    assert recorder.children(recorder.named("outer")) == ["inner"]
    assert recorder.named("another").parent is None
    assert recorder.named("inner").attributes == {"n": 1}
    assert recorder.named("inner").trace.trace_id == recorder.named("outer").trace.trace_id


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BuiltinFailed("the secret is 1234", code="unreachable"), "unreachable"),
        (FetchError("GET https://h/?token=1234"), FetchError.slug),
        (ZeroDivisionError("1234"), "ZeroDivisionError"),
    ],
)
def test_what_is_raised_is_one_word_of_the_span(recorder: Recorder, error: Exception, word: str) -> None:
    """Its message may hold anything, and stays out."""

    def work() -> None:
        with span("work"):
            raise error

    with pytest.raises(type(error)):
        work()

    assert recorder.named("work").failure == word
    assert "1234" not in str(recorder.spans)


def test_asking_somebody_is_a_span_of_the_current_trace_only(recorder: Recorder) -> None:
    """What the server asks for itself, such as a token, would be a trace of one span each time."""
    with asking("GET", "https://h.test/x") as alone:
        pass
    with span("work"), asking("BREW", "https://u:geheim@h.test:8443/x?pin=1234#f"):
        pass
    with span("broken"), asking("GET", "http://[::1"):
        pass
    with span("odd"), asking("PUT", f"http://{'h' * 300}\ud800.test/"), asking("POST", "http://\ud800.test/"):
        pass

    asked = recorder.named("HTTP")
    assert alone is NOTHING
    assert asked.attributes == {
        "http.request.method": "_OTHER",
        "url.scheme": "https",
        "server.address": "h.test",
        "server.port": 8443,
    }
    assert recorder.named("GET").attributes == {"http.request.method": "GET"}
    assert recorder.named("PUT").attributes["server.address"] == "h" * 255
    assert recorder.named("POST").attributes["server.address"] == "?.test"


def test_parts_of_what_is_not_sampled_are_no_spans(recorder: Recorder) -> None:
    """They would not be sent; about somebody else's span the sampler decides."""
    left_out = Trace("a" * 32, "b" * 16, sampled=False, span=object())
    for place, begun in (
        (left_out, False),
        (replace(left_out, span=None), True),
        (replace(left_out, sampled=True), True),
    ):
        before = here.set(place)
        try:
            with span("part") as part, asking("GET", "http://h.test/") as asked:
                pass
        finally:
            here.reset(before)

        assert (part is not NOTHING, asked is not NOTHING) == (begun, begun)


def test_nothing_is_wrapped_where_nothing_is_recorded() -> None:
    """The function is the very same, and all spans are one object that does nothing."""
    assert spans.tracer is None
    assert around("len", len) is len
    with span("a") as first, asking("GET", "http://h.test/") as second:
        for each in (first, second):
            each.set("a", 1)
            each.rename("b")
            each.fail("c")
            each.end()

    assert first is second is NOTHING
