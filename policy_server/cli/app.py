"""The command line: every command, and what happens when one fails."""

import sys
from typing import Annotated

import typer

from policy_server.cli import (
    audit,
    bench,
    bundle,
    changes,
    config,
    decisions,
    doctor,
    evaluate,
    events,
    git,
    output,
    policies,
    rego,
    repl,
    serve,
    simulate,
    state,
    testing,
    tokens,
    toolkit,
)
from policy_server.model.errors import PolicyServerError
from policy_server.version import VERSION

app = typer.Typer(
    name="policy-server",
    help="Rego policies as WebAssembly, executed in process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("compile")(rego.compile_)
app.command("check")(rego.check)
app.command("fmt")(rego.fmt)
app.command("test")(testing.run_tests)
app.command("eval")(evaluate.eval_)
app.command("bench")(bench.bench)
app.command("repl")(repl.repl)
app.command("simulate")(simulate.simulate)
app.command("seed")(state.seed)
app.command("reset")(state.reset)
app.command("doctor")(doctor.doctor)
app.command("audit")(audit.audit)
for change in (changes.put, changes.delete, changes.history, changes.diff, changes.rollback):
    policies.app.command()(change)
app.add_typer(policies.app, name="policies")
app.add_typer(tokens.app, name="tokens")
app.add_typer(bundle.app, name="bundle")
app.add_typer(decisions.app, name="decisions")
app.add_typer(events.app, name="events")
app.add_typer(git.app, name="git")
app.add_typer(state.db, name="db")
app.add_typer(toolkit.app, name="toolkit")
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(VERSION)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


@app.command("version")
def version() -> None:
    """Print the version of the policy server."""
    print(VERSION)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line; an error of ours becomes one clear line and an exit code."""
    try:
        app(arguments, prog_name="policy-server")
    except PolicyServerError as error:
        output.report(error)
        sys.exit(output.exit_code(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)
