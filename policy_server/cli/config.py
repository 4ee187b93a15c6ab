"""Shows the settings: their values and where each came from, or the reference page."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from policy_server.cli import options, output
from policy_server.given import variable
from policy_server.settings import declared, load_settings

app = typer.Typer(help="The settings.", no_args_is_help=True)


@app.command()
def show(
    redact: Annotated[bool, typer.Option("--redact/--reveal", help="Cover secrets, or show them.")] = True,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
    assignments: options.Assignments = None,
) -> None:
    """Print every setting, its value and where that came from."""
    settings = options.settings_from(config, assignments, state_dir=state_dir)
    for warning in settings.warnings:
        output.say(f"warning: {warning}")
    values = settings.dump(redact=redact)
    names = [name for name in values if not changed or settings.origins[name] != "default"]
    if form is options.Format.JSON:
        output.write_json({name: {"value": values[name], "from": settings.origins[name]} for name in names})
    else:
        output.write_table(
            ("SETTING", "VALUE", "FROM"), [(name, values[name], settings.origins[name]) for name in names]
        )


@app.command()
def check(config: options.Config = None, assignments: options.Assignments = None) -> None:
    """Check the settings; exit 3 when they cannot be used."""
    settings = options.settings_from(config, assignments)
    for warning in settings.warnings:
        output.say(f"warning: {warning}")
    # Functions of a file and of plugins are settings, too.
    from policy_server.extending import extensions

    extensions(settings)
    output.say("the settings can be used")


@app.command()
def reference() -> None:
    """Print the reference of all settings in Markdown: docs/settings.md."""
    print(markdown(), end="")


def markdown() -> str:
    """Return the reference of all settings, made from their declaration."""
    defaults = load_settings(environ={"HOME": "/"}).dump()
    lines = [_HEAD]
    group = ""
    for name, about in declared():
        if about.group != group:
            group = about.group
            lines.append(f"\n## {group}\n\n| setting | variable | value | default | meaning |\n|---|---|---|---|---|\n")
        default = about.shown or (f"`{_handy(defaults[name], about.kind.says)}`" if defaults[name] else "none")
        names = f"`{variable(name)}`" + (f", `{variable(name)}_FILE`" if about.secret else "")
        lines.append(f"| `{name}` | {names} | {about.kind.says} | {default} | {about.help} |\n")
    return "".join(lines)


def _handy(value: str, says: str) -> str:
    """Write sizes and durations with their units."""
    if says.startswith("a size"):
        return _in_units(value, _SIZES)
    return _in_units(value, _TIMES) if says.startswith("a length of time") else value


def _in_units(value: str, units: Mapping[str, int]) -> str:
    whole = int(value) if value.isdecimal() else 0
    for unit, one in units.items():
        if whole and whole % one == 0:
            return f"{whole // one}{unit}"
    return f"{value}s" if "s" in units else value


_SIZES: Final = {"MiB": 1 << 20, "KiB": 1 << 10}
_TIMES: Final = {"d": 86400, "h": 3600, "s": 1}


_HEAD = """# Settings

Made by `policy-server config reference`; a test compares. Defaults < file < environment < flags.

- **File**: TOML, named by `--config` or `POLICY_CONFIG_FILE`. Keys are the names in the first column; the parts of a
  name may be written as tables, so that `[pexip.service]` with `enabled = false` is `pexip_service_enabled`.
- **Environment**: the second column; two underscores count as one. An empty variable is as good as none, but for
  `POLICY_HOST`. Secrets may be in a file that `…_FILE` names.
- **Flags**: `policy-server serve --help`; every setting can be given as `--set name=value`.
- An unknown name is refused, with a suggestion. `policy-server config show` prints what is in force and where it is
  from.

The variables of the policy service are understood: `HTTP_HOST`, `HTTP_PORT`, `HTTP_IDLE_TIMEOUT`, `LOG_LEVEL`,
`METRICS_ADDR`, `EXTERNAL_HTTP_ADDR`, `REFRESHER_POLL_INTERVAL`, `SIGNER_ADDR`, `CACHE_ADDR`, `TASK_ADDR`,
`DID_RESOLVER_ADDR`, `OCM_ADDR`, `AUTO_IMPORT_POLL_INTERVAL`, `AUTH_ENABLED`, `AUTH_JWK_URL`, `AUTH_REFRESH_INTERVAL`,
`IP_FILTER_ENABLE`, `IP_FILTER_ALLOWED_IPS`, `OAUTH_CLIENT_ID`, `OAUTH_CLIENT_SECRET`, `OAUTH_TOKEN_URL`,
`NATS_ADDR` and `NATS_SUBJECT` mean what they mean there ([auth.md](auth.md) tells what is stricter here);
`TRAIN_ADDR` is named like them; `WEB_CONCURRENCY` sets the workers. `POLICY_REPOSITORY_CLONE_URL`, its companions
and `SYNC_INTERVAL` name a Git repository ([git.md](git.md)), `MONGO_ADDR` and its companions the store. `POLICY_TOKEN`
is read by commands, not by the server.
"""
