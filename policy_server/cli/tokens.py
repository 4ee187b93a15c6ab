"""Makes, lists and revokes API tokens, in the local store or on a running server."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, cast
from urllib.parse import quote

import msgspec
import typer

from policy_server.cli import options, output, remote
from policy_server.model.errors import InvalidParameter
from policy_server.model.values import Json, JsonObject
from policy_server.notation import numbers

app = typer.Typer(help="API tokens: create, list and revoke.", no_args_is_help=True)

_DAY = 86400.0


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for; shown as author of changes.", show_default=False)],
    scope: Annotated[
        list[str], typer.Option(help="evaluate, read, edit, publish or admin, or such as read:mine; repeatable.")
    ],
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it counts: 90d, 12h, or never.")] = "90d",
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    wanted = {"name": name, "scopes": scope, "expires_at": _end(expires)}
    place = remote.Place(server, token, config, state_dir)
    answer = remote.ask("POST", "/v1/tokens", place, msgspec.json.encode(wanted)).document()
    if form is options.Format.JSON:
        output.write_json(answer)
        return
    output.say(f"Token {answer['id']} for {name}, until {answer['expires_at'] or 'it is revoked'}; keep it now:")
    print(answer["token"])


@app.command("list")
def list_(
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List tokens with scopes, end and last use."""
    answer = remote.ask("GET", "/v1/tokens", remote.Place(server, token, config, state_dir))
    found = cast(list[JsonObject], answer.document()["tokens"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    output.write_table(("ID", "NAME", "SCOPES", "EXPIRES", "LAST USED", "REVOKED"), [_row(one) for one in found])


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id.", show_default=False)],
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make a token useless, in every worker within a second."""
    place = remote.Place(server, token, config, state_dir)
    remote.ask("DELETE", f"/v1/tokens/{quote(token_id, safe='')}", place)
    output.say(f"{token_id} is revoked")


def _end(text: str) -> datetime | None:
    """Return when a token runs out; InvalidParameter when it is no length of time."""
    if text == "never":
        return None
    days = text.removesuffix("d")
    seconds = float(days) * _DAY if text != days and days.isdigit() and len(days) < 6 else numbers.seconds(text)
    if seconds is None:
        raise InvalidParameter(f"--expires {text} is no length of time; write 90d, 12h or never.")
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _row(token: JsonObject) -> list[Json]:
    scopes = " ".join(cast(list[str], token["scopes"]))
    return [token["id"], token["name"], scopes, token["expires_at"], token["last_used_at"], token["revoked_at"]]
