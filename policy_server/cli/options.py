"""Options that several commands share, and how they become settings."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_server.environment import TOKEN
from policy_server.model.errors import SettingsError
from policy_server.settings import Settings, load_settings


class Format(StrEnum):
    """How results are written: for people, or for programs."""

    PRETTY = "pretty"
    JSON = "json"


Config = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Settings in TOML (also POLICY_CONFIG_FILE).")
]
StateDir = Annotated[Path | None, typer.Option("--state-dir", metavar="DIR", help="Where everything is kept.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting, by name; may be repeated.")
]
Output = Annotated[Format, typer.Option("--format", "-f", help="How to write the result.")]
Server = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="Ask this running server instead of the local store.")
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar=TOKEN, show_envvar=True, metavar="TOKEN", help="Who you are to that server."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Sources = Annotated[list[Path], typer.Argument(help="Rego files or directories.", show_default=False)]


def settings_from(config: Path | None = None, assignments: list[str] | None = None, **overrides: object) -> Settings:
    """Load the settings with the flags of a command on top; flags not given are None."""
    return load_settings(config=config, environ=os.environ, overrides=assigned(assignments) | given(overrides))


def given(overrides: dict[str, object]) -> dict[str, object]:
    """Return the flags that were given."""
    return {name: value for name, value in overrides.items() if value not in (None, [])}


def assigned(assignments: list[str] | None) -> dict[str, object]:
    """Read ``--set name=value``; SettingsError when there is no ``=``."""
    pairs: dict[str, object] = {}
    for text in assignments or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text} has no value; write --set name=value")
        pairs[name.strip().replace("-", "_")] = value
    return pairs
