"""Query strings as Pexip writes them."""

from urllib.parse import unquote_to_bytes


def _decode(part: bytes) -> str:
    if b"+" in part:
        part = part.replace(b"+", b" ")
    if b"%" in part:
        part = unquote_to_bytes(part)
    return part.decode("utf-8", "replace")


def parse_query(raw: str) -> dict[str, list[str]]:
    """Return every value of every key, in the order they came.

    ``raw`` is the query string as WSGI hands it over, one character a byte.
    ``+`` and ``%20`` are spaces, blank values are kept, commas are part of the
    value, bytes that are not UTF-8 become U+FFFD.
    """
    try:
        text = raw.encode("latin-1")
    except UnicodeEncodeError:
        text = raw.encode("utf-8", "replace")
    found: dict[str, list[str]] = {}
    for pair in text.split(b"&"):
        if pair:
            key, _, value = pair.partition(b"=")
            found.setdefault(_decode(key), []).append(_decode(value))
    return found
