"""Shows what changed and who was told, in the local store or on a running server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote, urlencode

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import DeliveryNotFound, FetchError, InvalidParameter, NotFound, PolicyNotFound
from policy_server.model.policy import PolicyId
from policy_server.model.values import Json, JsonObject

app = typer.Typer(help="Events: what changed, and who was told.", no_args_is_help=True)

Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on where the list before ended.")]


@app.command("list")
def list_(
    limit: Limit = 100,
    cursor: Cursor = None,
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List changes of policies, oldest first."""
    target = f"/v1/events?{_query({'limit': str(limit), 'cursor': cursor})}"
    document = _ask("GET", target, server, config=config, state_dir=state_dir).document()
    if form is options.Format.JSON:
        output.write_json(document)
        return
    rows = [
        [each["stamp"], each["time"], each["type"], _policy(each), each["revision"], _joined(each), each["actor"]]
        for each in cast(list[JsonObject], document["events"])
    ]
    output.write_table(("STAMP", "TIME", "TYPE", "POLICY", "REVISION", "CHANGED", "ACTOR"), rows)


@app.command()
def deliveries(
    state: Annotated[str | None, typer.Option(help="Only pending, delivered or dead ones.")] = None,
    target: Annotated[str | None, typer.Option(help="Only to this target.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="At most this many.")] = 100,
    cursor: Cursor = None,
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List who was told, newest event first."""
    query = _query({"state": state, "target": target, "limit": str(limit), "cursor": cursor})
    document = _ask("GET", f"/v1/deliveries?{query}", server, config=config, state_dir=state_dir).document()
    if form is options.Format.JSON:
        output.write_json(document)
        return
    rows = [_delivery(each) for each in cast(list[JsonObject], document["deliveries"])]
    output.write_table(("DELIVERY", "STATE", "ATTEMPTS", "POLICY", "NEXT", "ERROR"), rows)


@app.command()
def redeliver(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="As deliveries lists it.", show_default=False)],
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Send one again that was delivered or given up; whoever delivers takes it within a second."""
    _ask("POST", f"/v1/deliveries/{quote(delivery, safe='')}/redeliver", server, config=config, state_dir=state_dir)
    output.say(f"{delivery} is due again")


@app.command()
def subscribers(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="repository/group/name/version", show_default=False)],
    server: options.Server = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List who is called when a policy changes."""
    target = f"/policy/{_path(policy)}/notifychange"
    document = _ask("GET", target, server, config=config, state_dir=state_dir).document()
    found = cast(list[JsonObject], document["subscribers"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    rows = [[each[name] for name in ("MongoID", "Name", "State", "WebhookURL", "CreatedAt")] for each in found]
    output.write_table(("SUBSCRIBER", "NAME", "STATE", "URL", "CREATED"), rows)


def _ask(method: str, target: str, server: str | None, *, config: Path | None, state_dir: Path | None) -> Answer:
    settings = options.settings_from(config, state_dir=state_dir) if server is None else None
    with open_client(settings, server) as client:
        answer = client.send(method, target)
    if answer.status < 300:
        return answer
    document = answer.document()
    message = str(document.get("detail") or document.get("message") or "no reason given")
    if answer.status == 404:
        raise (DeliveryNotFound if "/deliveries/" in target else NotFound)(message)
    if answer.status == 400:
        raise InvalidParameter(message)
    raise FetchError(f"The server answers {answer.status}: {message}")


def _query(given: Mapping[str, str | None]) -> str:
    return urlencode({name: value for name, value in given.items() if value is not None})


def _path(policy: str) -> str:
    try:
        parsed = PolicyId.parse(policy)
    except ValueError as error:
        raise PolicyNotFound(f"{error}.") from error
    return "/".join(quote(part, safe="") for part in (parsed.repository, parsed.group, parsed.name, parsed.version))


def _policy(event: JsonObject) -> str:
    return "/".join(str(event[part]) for part in ("repository", "group", "name", "version"))


def _joined(event: JsonObject) -> str:
    return ",".join(map(str, cast(list[Json], event["changed"])))


def _delivery(delivery: JsonObject) -> list[Json]:
    event = cast("JsonObject | None", delivery["event"])
    pending = delivery["state"] == "pending"
    return [
        delivery["id"],
        delivery["state"],
        delivery["attempts"],
        "" if event is None else _policy(event),
        delivery["next_attempt"] if pending else "",
        delivery["error"],
    ]
