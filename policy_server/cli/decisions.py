"""Shows what was decided, in the local store or on a running server."""

from typing import Annotated, cast
from urllib.parse import quote, urlencode

import typer

from policy_server.cli import options, output
from policy_server.cli.remote import Place, ask
from policy_server.model.values import Json, JsonObject

app = typer.Typer(help="Recorded decisions: list and show.", no_args_is_help=True)


@app.command("list")
def list_(
    policy: Annotated[str | None, typer.Option(help="Only this policy: repository/group/name/version.")] = None,
    path: Annotated[str | None, typer.Option(help="Only this path, such as pexip/service/decision.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="pexip, evaluation, validation, data or authzen.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind of Pexip request.")] = None,
    outcome: Annotated[str | None, typer.Option(help="answered, failed, no_opinion, fallback or off.")] = None,
    alias: Annotated[str | None, typer.Option(help="Part of the alias.")] = None,
    requested_by: Annotated[str | None, typer.Option(help="Only what this one asked.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only those with an error.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2026-03-01T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most this many.")] = 100,
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List decisions, newest first."""
    wanted = {
        "policy": policy,
        "path": path,
        "endpoint": endpoint,
        "kind": kind,
        "outcome": outcome,
        "alias": alias,
        "requested_by": requested_by,
        "errors": "true" if errors else None,
        "since": since,
        "until": until,
        "limit": limit,
    }
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    answer = ask("GET", f"/v1/decisions?{query}", Place(server, token, config, state_dir)).document()
    found = cast(list[JsonObject], answer["decisions"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    output.write_table(("AT", "ID", "DOOR", "PATH", "ALIAS", "OUTCOME", "BY", "MS"), [_row(each) for each in found])


@app.command()
def show(
    decision: Annotated[str, typer.Argument(help="The decision id.", show_default=False)],
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Print one decision as JSON."""
    target = f"/v1/decisions/{quote(decision, safe='')}"
    output.write_json(ask("GET", target, Place(server, token, config, state_dir)).document())


def _row(found: JsonObject) -> list[Json]:
    metrics = cast(JsonObject, found.get("metrics", {}))
    error = cast(JsonObject, found.get("error", {}))
    return [
        str(found["timestamp"])[:23] + "Z",
        found["decision_id"],
        found.get("kind") or found["endpoint"],
        found["path"],
        found.get("alias") or "",
        f"{found['outcome']} ({error['code']})" if error else found["outcome"],
        found["requested_by"],
        round(cast(int, metrics.get("timer_rego_query_eval_ns", 0)) / 1e6, 1),
    ]
