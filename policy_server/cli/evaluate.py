"""Evaluates one policy in this process."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from policy_server.cli import options, output
from policy_server.model.errors import InvalidJson, InvalidParameter


class Form(StrEnum):
    """How the value is written: for people, as JSON on one line, or texts without quotes."""

    PRETTY = "pretty"
    JSON = "json"
    RAW = "raw"


def eval_(
    policy: Annotated[Path, typer.Argument(help="A policy directory, a .rego file or a .wasm module.")],
    data: Annotated[Path | None, typer.Option(help="The data document; else data.json of the directory.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", "-i", help="The input: a file, - for standard input, or JSON text.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A request header; repeatable.")
    ] = None,
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", "-e", help="group/name/rule; else the package document.")
    ] = None,
    form: Annotated[Form, typer.Option("--format", "-f", help="How to write the value.")] = Form.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Evaluate a policy; exit 1 when the value is undefined."""
    from policy_server.cli.tools import policy_data, policy_wasm, ready_policy

    settings = options.settings_from(config, assignments, state_dir=state_dir)
    document = read_input(input_)
    loaded = ready_policy(settings, policy_wasm(settings, policy), policy_data(policy, data))
    try:
        value = loaded.evaluate_json(document, entrypoint=entrypoint, headers=read_headers(header or []))
    finally:
        loaded.close()
    if value is None:
        output.say("undefined")
        raise typer.Exit(output.NEGATIVE)
    write(value, form)


def write(value: bytes, form: Form) -> None:
    """Write a JSON value the way that was asked for."""
    if form is Form.PRETTY:
        output.write_pretty(value)
        return
    if form is Form.RAW and value.startswith(b'"'):
        value = cast(str, msgspec.json.decode(value)).encode()
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.flush()


def read_input(text: str | None) -> bytes | None:
    """Return the input document; InvalidJson when it is none."""
    if text is None:
        return None
    if text == "-":
        content = sys.stdin.buffer.read()
    elif Path(text).is_file():
        content = Path(text).read_bytes()
    else:
        content = text.encode()
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidJson(f"--input is neither a file nor JSON: {error}.") from error
    return content


def read_headers(texts: list[str]) -> Mapping[str, str]:
    """Return header names in canonical form with their values; InvalidParameter when one has no colon."""
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not (colon and name.strip()):
            raise InvalidParameter(f"{text} is not a header; write 'Name: value'.")
        headers[name.strip().title()] = value.strip()
    return headers
