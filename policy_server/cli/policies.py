"""Lists and locks policies, in the local store or on a running server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote, urlencode

import msgspec
import typer

from policy_server.api.models import Detail
from policy_server.cli import options, output
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import FetchError, InvalidSource, PolicyNotFound, Problem, Refused
from policy_server.model.policy import PolicyId
from policy_server.model.values import Json, JsonObject
from policy_server.settings import Settings

app = typer.Typer(help="Policies: list, show, lock, change, and what they were before.", no_args_is_help=True)

PolicyArgument = Annotated[
    str, typer.Argument(metavar="POLICY", help="repository/group/name/version", show_default=False)
]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option(help="Only names that contain this.")] = None,
    repository: Annotated[str | None, typer.Option(help="Only of this repository.")] = None,
    locked: Annotated[bool | None, typer.Option("--locked/--unlocked", help="Only (un)locked ones.")] = None,
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List policies with state, revision and lock."""
    query: dict[str, str] = {}
    if name is not None:
        query["policyName"] = name
    if repository is not None:
        query["repository"] = repository
    if locked is not None:
        query["locked"] = "true" if locked else "false"
    answer = ask("GET", f"/v1/policies?{urlencode(query)}", server, config=config, state_dir=state_dir)
    found = cast(list[JsonObject], answer.document()["policies"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    output.write_table(
        ("POLICY", "STATE", "REVISION", "REGO", "LOCKED", "UPDATED", "ERROR"), [_row(policy) for policy in found]
    )


@app.command()
def show(
    policy: PolicyArgument,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Print everything about one policy, as JSON."""
    answer = ask("GET", f"/v1/policies/{path_of(policy)}", server, config=config, state_dir=state_dir)
    output.write_pretty(answer.body)


@app.command()
def lock(
    policy: PolicyArgument,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Lock a policy: evaluations of it are refused, in every worker at once."""
    ask("POST", f"/policy/{path_of(policy)}/lock", server, config=config, state_dir=state_dir)
    output.say(f"{policy} is locked")


@app.command()
def unlock(
    policy: PolicyArgument,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Unlock a policy."""
    ask("DELETE", f"/policy/{path_of(policy)}/lock", server, config=config, state_dir=state_dir)
    output.say(f"{policy} is unlocked")


def ask(
    method: str,
    target: str,
    server: str | None,
    *,
    config: Path | None,
    state_dir: Path | None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request to a running server or to the local store; an answer that is no success becomes an error."""
    settings = options.settings_from(config, state_dir=state_dir) if server is None else None
    if settings is not None and method != "GET":
        _check_store(settings)
    with open_client(settings, server) as client:
        answer = client.send(method, target, body, headers)
    if answer.status < 300:
        return answer
    message = _message(answer)
    if answer.status == 404:
        raise PolicyNotFound(message)
    if answer.status in {403, 409, 412}:
        raise Refused(message)
    if answer.status in {400, 413, 422}:
        raise InvalidSource(message, problems=_problems(answer))
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


def path_of(policy: str) -> str:
    """Write the name of a policy the way addresses have it; PolicyNotFound when it is none."""
    try:
        parsed = PolicyId.parse(policy)
    except ValueError as error:
        raise PolicyNotFound(f"{error}.") from error
    return "/".join(quote(part, safe="") for part in (parsed.repository, parsed.group, parsed.name, parsed.version))


def _row(policy: JsonObject) -> list[Json]:
    error = cast(JsonObject, policy["error"] or {})
    updated = datetime.fromtimestamp(cast(int, policy["lastUpdate"]), UTC)
    return [
        "/".join(str(policy[part]) for part in ("repository", "group", "policyName", "version")),
        policy["state"],
        policy["revision"],
        policy["dialect"],
        "locked" if policy["locked"] else "",
        updated.strftime("%Y-%m-%d %H:%M:%SZ"),
        error.get("message", ""),
    ]
