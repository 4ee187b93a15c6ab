"""What a request carries."""

import io

import falcon
import pytest
from falcon.testing import create_environ

from policy_server.api.request import Headers, RequestIds, integer_header, is_token, raw_query, read_body
from policy_server.model.errors import InputTooLarge, InvalidParameter


class Counting(io.BytesIO):
    """A stream that remembers how much was read, and gives little at a time."""

    consumed = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most a thousand bytes."""
        chunk = super().read(min(size or 0, 1000) if size != -1 else -1)
        self.consumed += len(chunk)
        return chunk


def request(stream: io.BytesIO, **environ: object) -> falcon.Request:
    """Make a request with this body."""
    return falcon.Request({**create_environ(), "wsgi.input": stream, **environ})


def test_headers_are_found_by_their_canonical_name() -> None:
    """A policy sees ``X-Cache-Key`` whatever the server calls it."""
    headers = Headers({"HTTP_X_CACHE_KEY": "k", "CONTENT_TYPE": "text/plain", "wsgi.input": None, "PATH_INFO": "/"})

    assert headers["X-Cache-Key"] == "k"
    assert dict(headers) == {"X-Cache-Key": "k", "Content-Type": "text/plain"}
    assert headers.get("X-Missing") is None
    assert headers.get("Path-Info") is None


@pytest.mark.parametrize("name", ["", "wsgi.input", "Path-Info", "X Y", "\u00e9"])
def test_only_headers_can_be_found_that_way(name: str) -> None:
    """No other part of the environment can be reached through a header's name."""
    assert name not in Headers(create_environ())


def test_a_body_that_declares_too_much_is_refused_unread() -> None:
    """Fifty megabytes are refused by their declared length alone."""
    stream = Counting(b"x" * 10)

    with pytest.raises(InputTooLarge):
        read_body(request(stream, CONTENT_LENGTH=str(50 << 20)), 1 << 20)
    assert stream.consumed == 0


def test_a_chunked_body_is_read_only_to_the_limit() -> None:
    """A body without a length is refused as soon as it is too long."""
    stream = Counting(b"x" * (1 << 20))

    with pytest.raises(InputTooLarge):
        read_body(request(stream, **{"wsgi.input_terminated": True}), 10_000)
    assert stream.consumed <= 11_000


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 5000])
def test_a_body_arriving_in_pieces_is_read_whole(size: int) -> None:
    """Short reads are put together, with and without a declared length."""
    body = b"y" * size

    assert read_body(request(Counting(body), CONTENT_LENGTH=str(size)), 5000) == body
    assert read_body(request(Counting(body), **{"wsgi.input_terminated": True}), 5000) == body


def test_a_body_that_ends_early_is_what_arrived() -> None:
    """A connection that breaks off does not hang the reader."""
    assert read_body(request(Counting(b"abc"), CONTENT_LENGTH="10"), 100) == b"abc"


def test_without_a_length_or_an_end_nothing_is_read() -> None:
    """A plain GET has no body, and the stream is left alone."""
    assert read_body(request(Counting(b"next request")), 100) == b""


@pytest.mark.parametrize(
    ("sent", "seen"),
    [("a=%FF", "a=%FF"), ("a=\xc3\xa9", "a=\u00e9"), ("a=\xff", "a=\ufffd"), ("", "")],
)
def test_the_query_is_handed_on_as_it_was_sent(sent: str, seen: str) -> None:
    """Percent escapes stay; raw bytes are read as UTF-8, broken ones replaced."""
    assert raw_query({"QUERY_STRING": sent}) == seen


def test_a_usable_request_id_is_kept_and_others_are_replaced() -> None:
    """An id that could break a header or a log line is not repeated."""
    ids = RequestIds()

    assert ids.take("abc-123") == "abc-123"
    made = [ids.take(bad) for bad in (None, "", "a b", "a\nb", "\xe9", "x" * 129)]
    assert len(set(made)) == len(made)
    assert all(is_token(one) for one in made)


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("-1", -1), ("+7", 7), ("", None)])
def test_a_whole_number_is_read_from_a_header(text: str, value: int | None) -> None:
    """Signs are allowed, an empty header counts as absent."""
    req = request(io.BytesIO(), HTTP_X_CACHE_TTL=text)

    assert integer_header(req, "x-cache-ttl") == value


@pytest.mark.parametrize("text", ["1.5", "ten", "1_0", " 1", "-", "\u0665", "9" * 30])
def test_anything_else_in_that_header_is_refused_by_name(text: str) -> None:
    """The message names header and value the way the policy service does."""
    with pytest.raises(InvalidParameter) as caught:
        integer_header(request(io.BytesIO(), HTTP_X_CACHE_TTL=text), "x-cache-ttl")
    assert caught.value.message == f'invalid value "{text}" for "x-cache-ttl", must be a integer'
