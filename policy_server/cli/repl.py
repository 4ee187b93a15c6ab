"""A conversation with OPA's interpreter, on a terminal or through a pipe."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_server.cli import options, output
from policy_server.cli.evaluate import Data, Input, read_input
from policy_server.cli.rego import Rego
from policy_server.model.errors import PolicyServerError, ToolkitError
from policy_server.model.values import UNDEFINED

if TYPE_CHECKING:
    from policy_server.authoring.session import Loaded, Reply, Session
    from policy_server.settings import Settings
    from policy_server.toolkit.toolkit import Toolkit

_HISTORY = "repl_history"
_KEPT = 1000


def repl(
    source: Annotated[
        Path | None, typer.Argument(help="Rego that is loaded: a file, or a directory; its data.json is the data.")
    ] = None,
    data: Data = None,
    input_: Input = None,
    dialect: Annotated[Rego, typer.Option("--dialect", help="Which Rego; auto is v1.")] = Rego.AUTO,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Evaluate expressions and define rules, on OPA's interpreter; `help` tells more.

    Through a pipe it exits with 1 when a statement failed.
    """
    from policy_server.authoring.session import Session
    from policy_server.cli.tools import ready_toolkit

    settings = options.settings_from(config, state_dir=state_dir)
    toolkit = ready_toolkit(settings)
    session = Session(toolkit, _loaded(settings, toolkit, source, data, input_, dialect))
    session.check()
    if _converse(session, settings) and not sys.stdin.isatty():
        raise typer.Exit(output.NEGATIVE)


def _loaded(
    settings: "Settings", toolkit: "Toolkit", source: Path | None, data: Path | None, input_: str | None, dialect: Rego
) -> "Loaded":
    from policy_server.authoring.session import Loaded
    from policy_server.cli.tools import host_functions, policy_data, read_text, rego_files
    from policy_server.model.policy import Dialect

    files = [] if source is None else rego_files([source])
    document = read_input(input_)
    declarations, _ = host_functions(settings, toolkit)
    return Loaded(
        modules={str(file): read_text(file) for file in files},
        dialect=Dialect.V1 if dialect is Rego.AUTO else Dialect(dialect),
        declarations=declarations,
        host=lambda: host_functions(settings, toolkit)[1],
        data=policy_data(Path() if source is None else source, data) if source or data else None,
        input=UNDEFINED if document is None else document,
    )


def _converse(session: "Session", settings: "Settings") -> int:
    """Read and answer statements to the end; return how many failed."""
    failures = 0
    for text in _statements(settings):
        try:
            reply = session.enter(text)
        except ToolkitError:
            raise
        except PolicyServerError as error:
            output.report(error)
            failures += 1
            continue
        _show(reply)
        if reply.ends:
            break
    return failures


def _statements(settings: "Settings") -> Iterator[str]:
    """Yield complete statements; one may take several lines, an empty line ends it."""
    from policy_server.authoring.statement import is_open

    interactive = sys.stdin.isatty()
    history = settings.state_dir / _HISTORY
    if interactive:
        _remember(history)
        output.say("help tells what can be said, quit ends")
    lines: list[str] = []
    while (line := _line("| " if lines else "> ", interactive=interactive)) is not None:
        lines = [*lines, line]
        text = "\n".join(lines)
        if line.strip() and is_open(text):
            continue
        lines = []
        yield text
    if lines:
        yield "\n".join(lines)
    if interactive:
        _keep(history)


def _line(prompt: str, *, interactive: bool) -> str | None:
    if not interactive:
        read = sys.stdin.readline()
        return read.rstrip("\n") if read else None
    while True:
        try:
            return input(prompt)
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            # As in a shell: the line is given up, not the conversation.
            print()


def _show(reply: "Reply") -> None:
    import msgspec

    for note in reply.notes:
        output.say(note)
    for line in reply.lines:
        print(line)
    if reply.columns:
        if not sys.stdout.isatty():
            print("\t".join(reply.columns))
        output.write_table(reply.columns, reply.rows)
    elif reply.value is not UNDEFINED:
        output.write_pretty(msgspec.json.encode(reply.value))


def _remember(history: Path) -> None:
    with suppress(ImportError, OSError):  # not every Python has it, and there may be no history yet
        import readline

        readline.set_history_length(_KEPT)
        readline.read_history_file(history)


def _keep(history: Path) -> None:
    with suppress(ImportError, OSError):
        import readline

        history.touch(mode=0o600)  # what was typed may hold secrets
        readline.write_history_file(history)
