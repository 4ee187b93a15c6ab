"""From Pexip's text to the input document; the only place where strings get types."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from policy_server.model.values import Json
from policy_server.pexip.aliases import NO_ALIAS, split_alias
from policy_server.pexip.fields import IDP_PREFIX, Field, FieldType, field_name, fields_of
from policy_server.pexip.kinds import RequestKind

Query = Mapping[str, list[str]]
"""Every value of every key, as ``parse_query`` returns it."""

_UNSET: Final = frozenset({"", "None", "null"})
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")
_FIELDS: Final = {kind: fields_of(kind) for kind in RequestKind}
_UNSET_CALL: Final[dict[RequestKind, dict[str, Json]]] = {
    kind: {field.name: [] if field.type is FieldType.LIST else None for field in fields.values() if field.documented}
    for kind, fields in _FIELDS.items()
}


def _text(text: str) -> Json:
    return None if text in _UNSET else text


def _enum(text: str) -> Json:
    return _text(text.strip().strip('"'))


def _boolean(text: str) -> Json:
    word = text.strip().strip('"').lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def _integer(text: str) -> Json:
    word = text.strip()
    return int(word) if _INTEGER.fullmatch(word) else None


_READ: Final[dict[FieldType, Callable[[str], Json]]] = {
    FieldType.TEXT: _text,
    FieldType.ENUM: _enum,
    FieldType.BOOLEAN: _boolean,
    FieldType.INTEGER: _integer,
}


def _typed(field: Field, values: list[str]) -> Json:
    if field.type is FieldType.LIST:
        return [value for value in values if value not in _UNSET]
    return _READ[field.type](values[0]) if values else None


def _many(text: str) -> list[str]:
    """Read one value of an IdP attribute; some arrive as the text of a JSON array."""
    if not text.startswith("["):
        return [text] if text else []
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [text]
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else [text]


def _call(kind: RequestKind, query: Query) -> dict[str, Json]:
    fields = _FIELDS[kind]
    call = dict(_UNSET_CALL[kind])
    headers: dict[str, list[str]] = {}
    for wire, values in query.items():
        field = fields.get(wire)
        if field is not None and field.type is not FieldType.LIST:
            call[wire] = _typed(field, values)
        elif (name := field_name(wire)) in fields:
            headers[name] = headers.get(name, []) + values
    for name, values in headers.items():
        call[name] = _typed(fields[name], values)
    return call


def _attributes(query: Query) -> dict[str, Json]:
    return {
        key.removeprefix(IDP_PREFIX): [item for value in values for item in _many(value)]
        for key, values in query.items()
        if key.startswith(IDP_PREFIX)
    }


def _clean(text: str) -> str:
    """Replace what no UTF-8 can say."""
    return text.encode("utf-8", "replace").decode()


def _split(value: Json) -> dict[str, Json]:
    return split_alias(value) if isinstance(value, str) else dict(NO_ALIAS)


def read_request(
    kind: RequestKind, *, alias: str | None, query: Query, received_at: datetime, mount: str
) -> dict[str, Json]:
    """Return the input document of one request.

    ``params`` and ``params_all`` are what was sent, as text. ``call`` holds every
    documented parameter of this kind of request with its type, null where it is
    not set. ``local``, ``remote`` and ``path`` are the dialed, the calling and
    the path's alias, taken apart. Never raises, whatever was sent.
    """
    call = _call(kind, query)
    path = None if alias is None else _clean(alias)
    return {
        "request_type": str(kind),
        "alias": path,
        "params": {key: values[0] for key, values in query.items() if values},
        "params_all": dict(query),
        "call": call,
        "idp_attributes": _attributes(query),
        "local": _split(call.get("local_alias")),
        "remote": _split(call.get("remote_alias")),
        "path": split_alias(path),
        "received_at": received_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "mount": _clean(mount),
    }


def input_document(kind: RequestKind, *, alias: str | None, query: Query, received_at: datetime, mount: str) -> bytes:
    """Return the input document of one request as JSON text."""
    return orjson.dumps(read_request(kind, alias=alias, query=query, received_at=received_at, mount=mount))


def unknown_parameters(kind: RequestKind, query: Query) -> tuple[str, ...]:
    """Return the names of parameters this kind of request is not known to have."""
    fields = _FIELDS[kind]
    return tuple(
        key for key in query if key not in fields and field_name(key) not in fields and not key.startswith(IDP_PREFIX)
    )
