"""Asks what a Pexip node would ask, and shows what it would do with the answer."""

import logging
import time
from typing import Annotated

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, open_client
from policy_server.model.errors import InvalidParameter
from policy_server.pexip.kinds import RequestKind
from policy_server.pexip.simulator import Preset, make_target, outcome, unknown


def simulate(
    kind: Annotated[RequestKind, typer.Argument(help="Which of the six requests.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Parameters, over those of the preset.")
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Which kind of device calls.")] = Preset.SIP,
    alias: Annotated[str | None, typer.Option(help="The alias in the path of avatar and registration.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="A running server; else answered in process.")] = None,
    user: Annotated[
        str | None, typer.Option(metavar="USER:PASSWORD", help="HTTP Basic, as in Pexip's profile.")
    ] = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Send one Pexip request and print the URL, the answer and the time."""
    given = _pairs(values or [])
    for name in unknown(kind, given):
        output.say(f"note: {kind} requests are not known to carry {name}")
    target = make_target(kind, preset, given, alias=alias)
    settings = options.settings_from(config, assignments, state_dir=state_dir)
    with open_client(settings, url) as client:
        if url is None:
            # The first one loads what a running server has loaded already; what it logs, the next one logs again.
            logging.disable()
            client.send("GET", target, headers=_headers(user))
            logging.disable(logging.NOTSET)
        started = time.perf_counter()
        answer = client.send("GET", target, headers=_headers(user))
        seconds = time.perf_counter() - started
    address = (url or settings.url).rstrip("/") + target
    _write(kind, address, answer, seconds, form)


def _write(kind: RequestKind, address: str, answer: Answer, seconds: float, form: options.Format) -> None:
    media = {name.lower(): value for name, value in answer.headers.items()}.get("content-type", "").partition(";")[0]
    means = outcome(kind, answer.status, media, answer.body)
    if form is options.Format.JSON:
        body = answer.document() if media == "application/json" else None
        facts = {"url": address, "status": answer.status, "content_type": media, "bytes": len(answer.body)}
        output.write_json({**facts, "body": body, "seconds": round(seconds, 6), "pexip": means})
        return
    output.say(f"GET {address}")
    output.say(f"{answer.status} {media} ({seconds * 1000:.1f} ms)")
    if media == "application/json":
        output.write_pretty(answer.body)
    elif answer.body:
        output.say(f"{len(answer.body)} bytes")
    output.say(f"Pexip {means}.")


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name):
            raise InvalidParameter(f"{text} is not key=value.")
        pairs[name] = value
    return pairs


def _headers(user: str | None) -> dict[str, str]:
    from base64 import b64encode

    return {} if user is None else {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
