"""Lists and locks policies, in the local store or on a running server."""

from datetime import UTC, datetime
from typing import Annotated, cast
from urllib.parse import quote, urlencode

import typer

from policy_server.cli import options, output, remote
from policy_server.model.errors import PolicyNotFound
from policy_server.model.policy import PolicyId
from policy_server.model.values import Json, JsonObject

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
    token: options.Token = None,
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
    answer = remote.ask("GET", f"/v1/policies?{urlencode(query)}", remote.Place(server, token, config, state_dir))
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
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Print everything about one policy, as JSON."""
    answer = remote.ask("GET", f"/v1/policies/{path_of(policy)}", remote.Place(server, token, config, state_dir))
    output.write_pretty(answer.body)


@app.command()
def lock(
    policy: PolicyArgument,
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Lock a policy: evaluations of it are refused, in every worker at once."""
    remote.ask("POST", f"/policy/{path_of(policy)}/lock", remote.Place(server, token, config, state_dir))
    output.say(f"{policy} is locked")


@app.command()
def unlock(
    policy: PolicyArgument,
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Unlock a policy."""
    remote.ask("DELETE", f"/policy/{path_of(policy)}/lock", remote.Place(server, token, config, state_dir))
    output.say(f"{policy} is unlocked")


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
