"""Evaluates one policy in this process."""

import sys
from collections.abc import Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from policy_server.cli import options, output
from policy_server.model.errors import InvalidJson, InvalidParameter


class Explain(StrEnum):
    """How much of the trace is wanted: every step, what trace() said, or what failed."""

    FULL = "full"
    NOTES = "notes"
    FAILS = "fails"


class Form(StrEnum):
    """How the value is written: for people, as JSON on one line, or texts without quotes."""

    PRETTY = "pretty"
    JSON = "json"
    RAW = "raw"


PolicyPath = Annotated[Path, typer.Argument(help="A policy directory, a .rego file or a .wasm module.")]
Data = Annotated[Path | None, typer.Option(help="The data document; else data.json of the directory.")]
Input = Annotated[
    str | None, typer.Option("--input", "-i", help="The input: a file, - for standard input, or JSON text.")
]
Header = Annotated[
    list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A request header; repeatable.")
]
Entrypoint = Annotated[
    str | None, typer.Option("--entrypoint", "-e", help="group/name/rule; else the package document.")
]


def eval_(
    policy: PolicyPath,
    data: Data = None,
    input_: Input = None,
    header: Header = None,
    entrypoint: Entrypoint = None,
    explain: Annotated[
        Explain | None, typer.Option(help="Write OPA's own trace of the same evaluation to standard error.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Tell on standard error which lines the evaluation reached.")
    ] = False,
    form: Annotated[Form, typer.Option("--format", "-f", help="How to write the value.")] = Form.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Evaluate a policy; exit 1 when the value is undefined.

    With --explain or --coverage OPA's interpreter evaluates, too; exit 1 when it does not agree.
    What the policy prints goes to standard error.
    """
    from policy_server.cli.asking import Question

    if (explain or coverage) and policy.suffix == ".wasm":
        raise typer.BadParameter(f"{policy} is a module; only Rego can be explained", param_hint="policy")
    settings = options.settings_from(config, assignments, state_dir=state_dir)
    question = Question(settings, policy, data, read_input(input_), read_headers(header or []), entrypoint)
    with closing(question):
        value = question.explained(explain or "off", coverage=coverage) if explain or coverage else question.answered()
    if value is None:
        output.say("undefined")
        raise typer.Exit(output.NEGATIVE)
    write(value, form)
    if question.disagrees:
        raise typer.Exit(output.NEGATIVE)


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
