"""Says what the toolkit is, builds it, and makes it ready for this machine."""

from typing import Annotated

import typer

from policy_server.cli import options, output
from policy_server.settings import Settings

app = typer.Typer(help="OPA itself, as a WebAssembly module.", no_args_is_help=True)


@app.command()
def build(
    force: Annotated[bool, typer.Option("--force", help="Build even when it is up to date.")] = False,
) -> None:
    """Build the toolkit from its Go source; needs Go 1.26 or newer."""
    from policy_server.toolkit.build import build as build_toolkit

    print(build_toolkit(force=force, progress=output.say))


@app.command()
def prepare(
    config: options.Config = None, state_dir: options.StateDir = None, assignments: options.Assignments = None
) -> None:
    """Compile the toolkit for this machine now, instead of at its first use."""
    from policy_server.cli.tools import ready_toolkit

    ready_toolkit(options.settings_from(config, assignments, state_dir=state_dir))


@app.command()
def info(
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
    form: options.Output = options.Format.PRETTY,
) -> None:
    """Print where the toolkit is, how large it is and which OPA it holds."""
    facts = describe(options.settings_from(config, assignments, state_dir=state_dir))
    if form is options.Format.JSON:
        output.write_json(facts)
    else:
        output.write_table(("", ""), facts.items())


def describe(settings: Settings) -> dict[str, str | int]:
    """Return what is known about the toolkit; ToolkitMissing when there is none."""
    from policy_server.cli.tools import ready_toolkit
    from policy_server.toolkit.location import find_toolkit

    toolkit = ready_toolkit(settings)
    path = find_toolkit(settings.toolkit)
    facts: dict[str, str | int] = dict(toolkit.version())
    if path is not None:
        facts |= {"path": str(path), "bytes": path.stat().st_size}
    return facts
