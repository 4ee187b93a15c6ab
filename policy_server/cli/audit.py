"""Shows who changed what, in the local store or on a running server."""

from typing import Annotated, cast
from urllib.parse import urlencode

import typer

from policy_server.cli import options, output
from policy_server.cli.remote import Place, ask
from policy_server.model.values import Json, JsonObject


def audit(
    policy: Annotated[str | None, typer.Option(help="Only this policy, or what else was acted on.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this: publish, delete, lock, …")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2026-03-01T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 100,
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List changes, newest first."""
    wanted = {"policy": policy, "actor": actor, "action": action, "since": since, "until": until, "limit": limit}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    answer = ask("GET", f"/v1/audit?{query}", Place(server, token, config, state_dir)).document()
    found = cast(list[JsonObject], answer["records"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    rows: list[list[Json]] = [
        [
            str(each["at"])[:19] + "Z",
            each["actor"],
            each["action"],
            each["subject"],
            each["outcome"],
            each["origin"],
            str(each["after"] or "")[:12],
        ]
        for each in found
    ]
    output.write_table(("AT", "BY", "ACTION", "WHAT", "OUTCOME", "FROM", "DIGEST"), rows)
