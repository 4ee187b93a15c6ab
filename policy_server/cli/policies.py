"""Lists and locks policies, in the local store or on a running server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote, urlencode

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import FetchError, PolicyNotFound, Refused
from policy_server.model.policy import PolicyId
from policy_server.model.values import Json, JsonObject
from policy_server.settings import Settings

app = typer.Typer(help="Policies: list, show, lock and unlock.", no_args_is_help=True)

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
    answer = _ask("GET", f"/v1/policies?{urlencode(query)}", server, config=config, state_dir=state_dir)
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
    answer = _ask("GET", f"/v1/policies/{_path(policy)}", server, config=config, state_dir=state_dir)
    output.write_pretty(answer.body)


@app.command()
def lock(
    policy: PolicyArgument,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Lock a policy: evaluations of it are refused, in every worker at once."""
    _ask("POST", f"/policy/{_path(policy)}/lock", server, config=config, state_dir=state_dir)
    output.say(f"{policy} is locked")


@app.command()
def unlock(
    policy: PolicyArgument,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Unlock a policy."""
    _ask("DELETE", f"/policy/{_path(policy)}/lock", server, config=config, state_dir=state_dir)
    output.say(f"{policy} is unlocked")


def _ask(method: str, target: str, server: str | None, *, config: Path | None, state_dir: Path | None) -> Answer:
    settings = options.settings_from(config, state_dir=state_dir) if server is None else None
    if settings is not None and method != "GET":
        _check_store(settings)
    with open_client(settings, server) as client:
        answer = client.send(method, target)
    if answer.status < 300:
        return answer
    message = _message(answer)
    if answer.status == 404:
        raise PolicyNotFound(message)
    if answer.status == 403:
        raise Refused(message)
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


def _path(policy: str) -> str:
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
