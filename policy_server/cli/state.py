"""Works on the store: bring it up to date, fill it, start over."""

from pathlib import Path
from typing import Annotated

import typer

from policy_server.cli import options, output
from policy_server.settings import Settings

db = typer.Typer(help="The database.", no_args_is_help=True)


@db.command()
def upgrade(
    config: options.Config = None, state_dir: options.StateDir = None, assignments: options.Assignments = None
) -> None:
    """Bring the database up to the schema of this release; the server does the same when it starts."""
    from policy_server.storage.opening import open_store

    settings = _settings(config, state_dir, assignments)
    store = open_store(settings.database, keep=settings.keep_revisions)
    store.ping()
    store.close()
    output.say(f"{settings.database_shown} is up to date")


@db.command()
def adopt(
    config: options.Config = None, state_dir: options.StateDir = None, assignments: options.Assignments = None
) -> None:
    """Take over the policies that the original policy service keeps in this MongoDB; a running server does so too."""
    from policy_server.cli.tools import open_assembly

    with open_assembly(_settings(config, state_dir, assignments), writes=True) as assembly:
        output.say(f"policies taken over: {assembly.chores.foreign.adopt()}")


def seed(
    config: options.Config = None, state_dir: options.StateDir = None, assignments: options.Assignments = None
) -> None:
    """Publish the bundled policies that the store does not have, with the sample rule book."""
    from policy_server.cli.tools import open_assembly

    with open_assembly(_settings(config, state_dir, assignments), writes=True) as assembly:
        output.say(f"bundled policies: {assembly.bundled.seed()}")


def reset(
    everything: Annotated[bool, typer.Option("--all", help="First delete every policy, revision and lock.")] = False,
    yes: options.Yes = False,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Publish the bundled policies as they were shipped; data that was changed goes back to the sample."""
    from policy_server.cli.client import actor
    from policy_server.cli.tools import all_policies, open_assembly

    settings = _settings(config, state_dir, assignments)
    what = "Delete ALL policies and start over" if everything else "Put the bundled policies and their data back"
    if not yes:
        typer.confirm(f"{what} in {settings.database_shown}?", abort=True, err=True)
    with open_assembly(settings, writes=True) as assembly:
        if everything:
            for policy in all_policies(assembly.store):
                assembly.publisher.delete(policy, author=actor())
        output.say(f"bundled policies: {assembly.bundled.reset()}")


def _settings(config: Path | None, state_dir: Path | None, assignments: list[str] | None) -> Settings:
    """Load the settings; what has no state directory yet gets one."""
    from policy_server.cli.serve import check_state_dir

    settings = options.settings_from(config, assignments, state_dir=state_dir)
    check_state_dir(settings.state_dir)
    return settings
