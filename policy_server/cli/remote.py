"""Sends what a command wants to the API, here or on a running server, and reads refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from policy_server.api.models import Detail
from policy_server.cli import options
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import (
    FetchError,
    Forbidden,
    InvalidParameter,
    InvalidSource,
    NotAuthenticated,
    NotFound,
    PolicyNotFound,
    PolicyServerError,
    Problem,
    Refused,
)
from policy_server.settings import Settings

_ERRORS: Final[dict[int, type[PolicyServerError]]] = {
    400: InvalidParameter,
    401: NotAuthenticated,
    403: Refused,
    404: PolicyNotFound,
    409: Refused,
    412: Refused,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command asks: a running server, or else the local store."""

    server: str | None
    token: str | None = field(repr=False)
    config: Path | None = None
    state_dir: Path | None = None


def ask(method: str, target: str, place: Place, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request and return a good answer; else the error that its status stands for."""
    settings = options.settings_from(place.config, state_dir=place.state_dir) if place.server is None else None
    if settings is not None and method != "GET":
        _check_store(settings)
    with open_client(settings, place.server, place.token) as client:
        answer = client.send(method, target, body, headers)
    if answer.status < 300:
        return answer
    message = _message(answer)
    names = {name.lower() for name in answer.headers}
    if answer.status == 403 and "www-authenticate" in names:
        raise Forbidden(message)
    if answer.status == 404 and not target.startswith(("/policy/", "/v1/policies")):
        raise NotFound(message)
    if answer.status in {413, 422} or (answer.status == 400 and body):
        raise InvalidSource(message, problems=_problems(answer))
    kind = _ERRORS.get(answer.status)
    if kind is not None:
        raise kind(message)
    raise FetchError(f"The server answers {answer.status}: {message}")


def _check_store(settings: Settings) -> None:
    from policy_server.cli.tools import has_store

    if not has_store(settings):
        raise Refused(
            f"There is no store in {settings.state_dir} yet; name a running server with --server, "
            "another place with --state-dir, or run policy-server seed."
        )


def _message(answer: Answer) -> str:
    """Take the words out of either shape of error."""
    document = answer.document()
    return str(document.get("message") or document.get("detail") or document.get("title") or "no reason given")


def _problems(answer: Answer) -> list[Problem]:
    """Read what is wrong, and where, out of a problem document."""
    try:
        found = msgspec.convert(answer.document().get("errors", []), list[Detail])
    except msgspec.ValidationError:
        return []
    return [Problem(each.detail, each.file or each.pointer, each.line, each.column, each.code) for each in found]
