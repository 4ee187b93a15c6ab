"""Log lines: their shape, and what must not be in them."""

import io
import json
import logging
import logging.config
from collections.abc import Callable

import pytest

from policy_server.logs import hide_secrets, logging_config


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def logged(restored: None) -> Callable[..., list[dict[str, object]]]:
    """Return a function that logs one record and reads the lines back."""

    def log(message: str, *arguments: object, level: int = logging.INFO, **extra: object) -> list[dict[str, object]]:
        stream = io.StringIO()
        logging.config.dictConfig(logging_config("info", "json", stream=stream))
        logging.getLogger("policy_server.test").log(level, message, *arguments, extra=extra)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return log


def test_a_record_is_one_json_line(logged: Callable[..., list[dict[str, object]]]) -> None:
    """Time in UTC, level, logger, message, then the fields."""
    [line] = logged("%s was published", "a/b/c/1.0", action="publish", revision=3)

    assert list(line)[:4] == ["ts", "level", "logger", "event"]
    assert str(line.pop("ts")).endswith("Z")
    assert line == {
        "level": "info",
        "logger": "policy_server.test",
        "event": "a/b/c/1.0 was published",
        "action": "publish",
        "revision": 3,
    }


def test_records_below_the_level_are_left_out(logged: Callable[..., list[dict[str, object]]]) -> None:
    """The level is the least that is logged."""
    assert logged("detail", level=logging.DEBUG) == []


def test_a_line_break_cannot_forge_a_line(logged: Callable[..., list[dict[str, object]]]) -> None:
    """What callers send stays inside of one JSON string."""
    lines = logged("alias %s", 'x\n{"level": "critical"}')

    assert [line["event"] for line in lines] == ['alias x\n{"level": "critical"}']


@pytest.mark.parametrize("key", ["pin", "guest_pin", "password", "Authorization", "client_secret", "api_key", "token"])
def test_fields_that_name_a_secret_are_covered(logged: Callable[..., list[dict[str, object]]], key: str) -> None:
    """By name, however deep."""
    [line] = logged("x", **{key: "2931", "result": {key: "2931", "name": "room"}})

    assert (line[key], line["result"]) == ("**********", {key: "**********", "name": "room"})


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic cGV4aXA6czNjcmV0",
        "bearer s3cret-token.value",
        "GET /x?pin=s3cret&a=b",
        "https://user:s3cret@data.example/x",
        "third_party_passcode?third_party_passcode=s3cret",
        "the token pst_s3cret-abcdefghijklmnopqrstuvwxyz0123456789 was",
        "it sent eyJhbGciOiJub25lIn0.s3cret.s3cret to us",
    ],
)
def test_credentials_inside_of_texts_are_covered(text: str) -> None:
    """Addresses and headers are logged without what they carry."""
    covered = str(hide_secrets(None, "info", {"event": text})["event"])

    assert "s3cret" not in covered
    assert "cGV4aXA6czNjcmV0" not in covered


def test_names_that_only_look_like_secrets_are_shown() -> None:
    """pinning_config is no PIN."""
    assert hide_secrets(None, "info", {"pinning_config": "left", "pins_checked": 2, "event": ""}) == {
        "pinning_config": "left",
        "pins_checked": 2,
        "event": "",
    }


def test_auto_means_text_on_a_terminal(restored: None) -> None:
    """People read text, programs read JSON."""
    stream = Terminal()
    logging.config.dictConfig(logging_config("info", "auto", stream=stream))

    logging.getLogger("policy_server.test").warning("hello", extra={"pin": "2931"})

    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "2931" not in stream.getvalue()


def test_an_exception_is_part_of_its_line(restored: None) -> None:
    """A traceback does not spread over lines of its own."""
    stream = io.StringIO()
    logging.config.dictConfig(logging_config("info", "json", stream=stream))

    try:
        int("broken")
    except ValueError:
        logging.getLogger("policy_server.test").exception("it failed")

    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert "ValueError: invalid literal" in line["exception"]


def test_the_line_of_a_request_is_json_with_exactly_the_fields_of_the_middleware(restored: None) -> None:
    """Request lines take a shorter way to the same form."""
    stream = io.StringIO()
    logging.config.dictConfig(logging_config("info", "json", stream=stream))

    logging.getLogger("policy_server.access").info(
        "request", extra={"action": "request", "path": "/livez", "status": 200, "unasked": "x"}
    )

    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "policy_server.access",
        "event": "request",
        "action": "request",
        "path": "/livez",
        "status": 200,
    }
