"""Reading and writing W3C Trace Context."""

import pytest

from policy_server.tracing.trace import Trace, fields, headers, here, read

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (PARENT, True),
        (f" {PARENT} ", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_trace_is_read(text: str, sampled: bool) -> None:
    """Later versions too, as far as this one goes."""
    assert read(text) == Trace(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "x",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}-more",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{PARENT},{PARENT}",
        PARENT.replace("a", "ａ"),
    ],
)
def test_what_is_no_trace_is_ignored(text: str | None) -> None:
    """A request goes on without one; nothing of it gets into a log."""
    assert read(text) is None


@pytest.mark.parametrize(
    ("state", "kept"), [("a=1,b=2", "a=1,b=2"), ("a=" + "x" * 511, ""), ("a=\u00e9", ""), ("a=\r\n", ""), (None, "")]
)
def test_a_state_is_handed_on_when_it_can_be(state: str | None, kept: str) -> None:
    """Short, visible ASCII; else the trace goes on without."""
    found = read(PARENT, state)

    assert found is not None
    assert found.state == kept


def test_what_came_in_goes_out_as_it_came() -> None:
    """The headers of a trace that is not ours are those that were read."""
    before = here.set(read(PARENT, "a=1"))
    try:
        assert headers() == {"traceparent": PARENT, "tracestate": "a=1"}
        assert fields() == {"trace_id": TRACE}  # the span is somebody else's
    finally:
        here.reset(before)


def test_outside_of_any_trace_nothing_is_said() -> None:
    """No header, no field."""
    assert (headers(), fields()) == ({}, {})
