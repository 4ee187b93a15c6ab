"""Shows Git repositories and synchronises them, here or on a running server."""

import sys
from typing import Annotated, cast
from urllib.parse import quote

import typer

from policy_server.cli import options, output
from policy_server.cli.remote import Place, ask
from policy_server.model.errors import RepositoryNotFound
from policy_server.model.values import Json, JsonObject

app = typer.Typer(help="Git repositories: how they are doing, and synchronise them now.", no_args_is_help=True)

_HEAD = ("REPOSITORY", "STATE", "COMMIT", "LAST SUCCESS", "POLICIES", "FAILED", "ERROR")


@app.command()
def status(
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List the repositories that are followed, and how each is doing."""
    _show(_all(Place(server, token, config, state_dir)), form)


@app.command()
def sync(
    repositories: Annotated[list[str] | None, typer.Argument(help="Their names; all without any.")] = None,
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Fetch what is new and publish it; exit code 1 when a repository, or one of its policies, fails."""
    place = Place(server, token, config, state_dir)
    if server is None:
        names = _sync_here(repositories, place)
        found = [ask("GET", f"/v1/git/{quote(name, safe='')}", place).document() for name in names]
    else:
        names = repositories or [str(each["repository"]) for each in _all(place)]
        found = [ask("POST", f"/v1/git/{quote(name, safe='')}/sync?wait=8", place).document() for name in names]
    _show(found, form)
    if any(each["error"] is not None or each["failed"] for each in found):
        sys.exit(1)


def _all(place: Place) -> list[JsonObject]:
    return cast(list[JsonObject], ask("GET", "/v1/git", place).document()["repositories"])


def _sync_here(names: list[str] | None, place: Place) -> list[str]:
    """Synchronise in this process; return the names."""
    from policy_server.cli.tools import open_assembly

    settings = options.settings_from(place.config, state_dir=place.state_dir)
    with open_assembly(settings, writes=True) as assembly:
        feeds = {feed.repository.name: feed for feed in assembly.chores.git}
        for name in names or feeds:
            if name not in feeds:
                raise RepositoryNotFound(f"No Git repository {name} is set.")
        for name in names or feeds:
            feeds[name].sync()
    return names or list(feeds)


def _show(found: list[JsonObject], form: options.Format) -> None:
    if form is options.Format.JSON:
        output.write_json(found)
        return
    if not found:
        output.say("no Git repository is set (POLICY_GIT)")
    output.write_table(_HEAD, [_row(each) for each in found])
    for each in found:
        for broken in cast(list[JsonObject], each["broken"]):
            output.say(f"{broken['policy']}: {broken['message']}")
        for warning in cast(list[str], each["warnings"]):
            output.say(f"{each['repository']}: skipped {warning}")


def _row(each: JsonObject) -> list[Json]:
    policies = sum(cast(int, each[name]) for name in ("published", "unchanged", "failed"))
    when = str(each["last_success"] or "")[:19].replace("T", " ")
    return [
        each["repository"],
        each["state"],
        str(each["commit"] or "")[:12],
        when,
        policies,
        each["failed"],
        each["error"],
    ]
