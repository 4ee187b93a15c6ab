"""Shows Git repositories and synchronises them, here or on a running server."""

import sys
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import FetchError, RepositoryNotFound
from policy_server.model.values import Json, JsonObject

app = typer.Typer(help="Git repositories: how they are doing, and synchronise them now.", no_args_is_help=True)

_HEAD = ("REPOSITORY", "STATE", "COMMIT", "LAST SUCCESS", "POLICIES", "FAILED", "ERROR")


@app.command()
def status(
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List the repositories that are followed, and how each is doing."""
    settings = options.settings_from(config, state_dir=state_dir) if server is None else None
    with open_client(settings, server) as client:
        found = cast(list[JsonObject], _document(client.send("GET", "/v1/git"))["repositories"])
    _show(found, form)


@app.command()
def sync(
    repositories: Annotated[list[str] | None, typer.Argument(help="Their names; all without any.")] = None,
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Fetch what is new and publish it; exit code 1 when a repository, or one of its policies, fails."""
    found = _sync_here(repositories, config, state_dir) if server is None else _sync_there(repositories, server)
    _show(found, form)
    if any(each["error"] is not None or each["failed"] for each in found):
        sys.exit(1)


def _sync_here(names: list[str] | None, config: Path | None, state_dir: Path | None) -> list[JsonObject]:
    from policy_server.cli.client import LocalClient
    from policy_server.cli.tools import open_assembly

    settings = options.settings_from(config, state_dir=state_dir)
    with open_assembly(settings, writes=True) as assembly:
        feeds = {feed.repository.name: feed for feed in assembly.git}
        wanted = names or list(feeds)
        for name in wanted:
            if name not in feeds:
                raise RepositoryNotFound(f"No Git repository {name} is set.")
        for name in wanted:
            feeds[name].sync()
        client = LocalClient(assembly.app())
        return [_document(client.send("GET", f"/v1/git/{quote(name, safe='')}")) for name in wanted]


def _sync_there(names: list[str] | None, server: str) -> list[JsonObject]:
    with open_client(None, server) as client:
        if not names:
            listed = cast(list[JsonObject], _document(client.send("GET", "/v1/git"))["repositories"])
            names = [str(each["repository"]) for each in listed]
        return [_document(client.send("POST", f"/v1/git/{quote(name, safe='')}/sync?wait=8")) for name in names]


def _document(answer: Answer) -> JsonObject:
    document = answer.document()
    if answer.status < 300:
        return document
    message = str(document.get("detail") or document.get("message") or document.get("title") or "no reason given")
    if answer.status == 404:
        raise RepositoryNotFound(message)
    raise FetchError(f"The server answers {answer.status}: {message}")


def _show(found: list[JsonObject], form: options.Format) -> None:
    if form is options.Format.JSON:
        output.write_json(found)
        return
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
