"""Exports and imports bundles, at once and on a schedule."""

import io
import re
from datetime import timedelta
from typing import Final, cast
from urllib.parse import urlsplit

import falcon
import msgspec
from falcon.media.multipart import MultipartFormHandler

from policy_server.api import query
from policy_server.api.caller import actor_of
from policy_server.api.models import AutoImportConfig, AutoImportList, AutoImportView, ImportedPolicy
from policy_server.api.request import ApiRequest, read_body, refused
from policy_server.auth.gate import require
from policy_server.bundles.auto import AutoImporter
from policy_server.bundles.exporter import Exporter
from policy_server.bundles.importer import Importer
from policy_server.model.auto_import import AutoImport
from policy_server.model.bundle import Exported
from policy_server.model.duration import format_duration, parse_duration
from policy_server.model.errors import InputError, InvalidBundle, InvalidJson
from policy_server.model.policy import PolicyId
from policy_server.model.principal import Role
from policy_server.model.values import JsonObject

_FIELD: Final = "file"
_FORM: Final = "multipart/form-data"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LONGEST_URL: Final = 2000


class Exports:
    """Bundles of one policy, and the key that verifies them."""

    def __init__(self, exporter: Exporter) -> None:
        """Take who exports."""
        self._exporter = exporter

    def on_get_key(
        self, _req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Answer the JWK."""
        jwk = self._exporter.key(PolicyId(repository, group, policy, version))
        resp.content_type = falcon.MEDIA_JSON
        resp.data = msgspec.json.encode(jwk) + b"\n"

    def on_get(
        self, req: ApiRequest, resp: falcon.Response, repository: str, group: str, policy: str, version: str
    ) -> None:
        """Answer the bundle as a file to keep."""
        made = self._make(req, PolicyId(repository, group, policy, version))
        resp.content_type = made.media
        resp.set_header("content-disposition", f'attachment; filename="{made.name}"')
        resp.data = made.content

    def _make(self, req: ApiRequest, policy: PolicyId) -> Exported:
        form = query.text(req, "format") or "signed"
        if form == "signed":
            return self._exporter.export(policy)
        if form == "opa":
            wasm, signed = (bool(query.boolean(req, name)) for name in ("wasm", "signed"))
            return self._exporter.export_opa(policy, wasm=wasm, signed=signed, scope=query.text(req, "scope") or "")
        raise refused("format", 'invalid value for "format", must be signed or opa')


class Imports:
    """Takes bundles in."""

    def __init__(self, importer: Importer, limit: int) -> None:
        """Take who imports, and the largest body that is read, in bytes."""
        self._importer = importer
        self._limit = limit

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Import the body, or the field ``file`` of a form; ``?policy=`` names the policy of an OPA bundle."""
        content = _bundle(req, read_body(req, self._limit))
        done = self._importer.bring(
            content,
            author=actor_of(req),
            permit=lambda policy: require(req.principal, Role.PUBLISH, policy.repository),
            named=_named(req),
        )
        policy = done.id
        _answer(
            resp,
            ImportedPolicy(policy.repository, policy.group, policy.name, policy.version, done.locked, done.last_update),
        )


class AutoImports:
    """What is imported on a schedule."""

    def __init__(self, auto: AutoImporter, limit: int) -> None:
        """Take who imports on a schedule, and the largest body that is read, in bytes."""
        self._auto = auto
        self._limit = limit

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """List."""
        _answer(resp, AutoImportList([_view(each) for each in self._auto.all()]))

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Make one, or give the one with this URL another interval."""
        document = _document(read_body(req, self._limit))
        problems = [*_about_url(document), *_about_interval(document)]
        if problems:
            raise InputError("; ".join(problems))
        url, interval = cast(str, document["policyURL"]), cast(str, document["interval"])
        self._auto.save(url, _interval(interval), by=actor_of(req))
        _answer(resp, AutoImportConfig(url, interval))

    def on_delete(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Forget one."""
        document = _document(read_body(req, self._limit))
        problems = _about_url(document)
        if problems:
            raise InputError("; ".join(problems))
        gone = self._auto.remove(cast(str, document["policyURL"]), by=actor_of(req))
        _answer(resp, AutoImportConfig(gone.url, format_duration(_nanoseconds(gone.interval))))


def _named(req: ApiRequest) -> PolicyId | None:
    named = query.text(req, "policy")
    try:
        return None if named is None else PolicyId.parse(named)
    except ValueError as error:
        raise refused("policy", 'invalid value for "policy", must be repository/group/name/version') from error


def _bundle(req: ApiRequest, body: bytes) -> bytes:
    """Return the bundle in a body: the body itself, or what a form has as ``file``."""
    content_type = req.content_type or ""
    if body.startswith(b"PK") or content_type.partition(";")[0].strip().lower() != _FORM:
        return body
    files = []
    try:
        for part in MultipartFormHandler().deserialize(io.BytesIO(body), content_type, len(body)):
            content = part.stream.read()
            if part.name == _FIELD:
                files.append(content)
    except (falcon.HTTPError, ValueError) as error:
        raise InvalidBundle("The form cannot be read.") from error
    if len(files) != 1:
        raise InvalidBundle(f"The form must have one field '{_FIELD}', not {len(files)}.")
    return files[0]


def _document(body: bytes) -> JsonObject:
    if not body.strip():
        raise InputError("missing required payload")
    try:
        return cast(JsonObject, msgspec.json.decode(body, type=dict))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidJson(f"the body is not a JSON object: {error}") from error


def _about_url(document: JsonObject) -> list[str]:
    if "policyURL" not in document:
        return ['"policyURL" is missing from body']
    url = document["policyURL"]
    if isinstance(url, str) and len(url) <= _LONGEST_URL and _is_uri(url):
        return []
    shown = url if isinstance(url, str) else "something else"
    return [f'body.policyURL must be formatted as a uri but got value "{shown[:200]}"']


def _about_interval(document: JsonObject) -> list[str]:
    if "interval" not in document:
        return ['"interval" is missing from body']
    text = document["interval"]
    if not isinstance(text, str):
        return ["body.interval must be a text such as 1h30m"]
    if len(text) < 2:
        return [f'length of body.interval must be greater or equal than 2 but got value "{text}" (len={len(text)})']
    return []


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isprintable() and not any(character.isspace() for character in text)
    return plain and bool(_SCHEME.fullmatch(parts.scheme)) and bool(parts.netloc or parts.path)


def _interval(text: str) -> timedelta:
    try:
        interval = timedelta(microseconds=parse_duration(text) // 1000)
    except ValueError as error:
        raise InputError(f"invalid interval definition: {error}") from error
    if interval <= timedelta():
        raise InputError("invalid interval definition: the interval must be longer than nothing")
    return interval


def _nanoseconds(interval: timedelta) -> int:
    return interval // timedelta(microseconds=1) * 1000


def _view(config: AutoImport) -> AutoImportView:
    return AutoImportView(
        config.id,
        config.url,
        _nanoseconds(config.interval),
        config.next_import,
        config.last_attempt,
        config.last_success,
        config.error,
    )


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document) + b"\n"
