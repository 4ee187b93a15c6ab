"""The JSON texts on both sides of an evaluation, handled as bytes."""

import json
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from policy_server.model.errors import EntrypointNotFound, InvalidJson

_BLANK: Final = b'{"$0":'
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ESCAPES: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def input_text(body: bytes) -> bytes:
    """Return the JSON text of a policy's input: ``null`` when there is no body."""
    body = body.strip(b" \t\r\n")
    if not body:
        return b"null"
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


def first_value(text: bytes) -> bytes:
    """Return the first JSON value of a text, without what follows it.

    Raises:
        InvalidJson: the text does not begin with a JSON value.
    """
    try:
        end = _scanner.raw_decode(text.decode())[1]
    except RecursionError as error:
        raise InvalidJson("the body is nested too deeply") from error
    except ValueError as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from error
    return text.decode()[:end].encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers stay text: they are only looked for, and Python refuses very long ones.
_scanner: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=str, parse_float=str)


def unwrap(result: bytes | None) -> bytes:
    """Return the document to answer with: the bare value when ``$0`` is the only key.

    Args:
        result: compact JSON with sorted keys, or None for undefined.

    Raises:
        EntrypointNotFound: there is no result.
    """
    if result is None:
        raise EntrypointNotFound("policy evaluation results are empty")
    # Keys are sorted, so a document with only this key begins with it; numbers
    # inside stay as they are written because nothing below is decoded.
    if not result.startswith(_BLANK):
        return result
    members = _members.decode(result)
    return bytes(members["$0"]) if len(members) == 1 else result


def escaped(document: bytes) -> bytes:
    r"""Write ``<``, ``>``, ``&`` as ``\u003c``… and end with a line feed.

    In JSON text these bytes can only stand inside strings.
    """
    for plain, escape in _ESCAPES:
        if plain in document:
            document = document.replace(plain, escape)
    return document + b"\n"


def member(document: bytes, path: Sequence[str]) -> bytes | None:
    """Follow member names and positions into a JSON text; None where the path leads nowhere.

    What is found is answered as it is written: nothing on the way is decoded.
    """
    for step in path:
        if document.startswith(b"{"):
            found = _members.decode(document).get(step)
        elif document.startswith(b"[") and step.isascii() and step.isdigit() and len(step) < 10:
            found = next(iter(_items.decode(document)[int(step) :][:1]), None)
        else:
            return None
        if found is None:
            return None
        document = bytes(found)
    return document
