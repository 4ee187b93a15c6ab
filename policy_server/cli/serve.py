"""Starts the server: looks first, then becomes gunicorn."""

import errno
import os
import socket
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from policy_server.admission import check_access, first_token, is_loopback, remarks
from policy_server.auth.tokens import Tokens
from policy_server.cli import options
from policy_server.cli.output import say
from policy_server.environment import CONFIG_FILE
from policy_server.model.errors import SettingsError, StoreUnavailable
from policy_server.settings import Settings, to_environ
from policy_server.version import VERSION


def serve(
    config: options.Config = None,
    host: Annotated[str | None, typer.Option(help="Where to listen; empty means all interfaces.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="The TCP port.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-w", help="Worker processes.")] = None,
    threads: Annotated[int | None, typer.Option(help="Request threads of each worker.")] = None,
    state_dir: options.StateDir = None,
    storage_url: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///path, postgresql://…, mongodb://… or memory:")
    ] = None,
    folder: Annotated[
        list[str] | None, typer.Option(metavar="REPOSITORY=DIR", help="Follow a directory of policies; repeatable.")
    ] = None,
    bundled: Annotated[bool | None, typer.Option("--bundled/--no-bundled", help="The Pexip policies.")] = None,
    external_url: Annotated[str | None, typer.Option(metavar="URL", help="The address callers use.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning, error or critical.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console.")] = None,
    allow_anonymous: Annotated[
        bool | None, typer.Option("--allow-anonymous", help="Let everybody in, also from other machines.")
    ] = None,
    assignments: options.Assignments = None,
) -> None:
    """Start the server."""
    flags: dict[str, object] = {
        "host": host, "port": port, "workers": workers, "threads": threads, "state_dir": state_dir,
        "storage_url": storage_url, "folders": folder, "bundled": bundled, "external_url": external_url,
        "log_level": log_level, "log_format": log_format, "allow_anonymous": allow_anonymous,
    }  # fmt: skip
    overrides = options.assigned(assignments) | options.given(flags)
    settings = options.settings_from(config, assignments, **flags)
    check_access(settings)
    for warning in (*settings.warnings, *remarks(settings)):
        say(f"warning: {warning}")
    check_state_dir(settings.state_dir)
    check_port(settings)
    check_functions(settings)
    prepare_store(settings)
    greet(settings)
    become_gunicorn(config, overrides)


def check_state_dir(directory: Path) -> None:
    """Make the state directory; SettingsError when nothing can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise SettingsError(
            f"the state directory {directory} cannot be written ({error.strerror}); "
            "choose another with --state-dir or POLICY_STATE_DIR"
        ) from error


def check_port(settings: Settings) -> None:
    """Find out whether the address is free; SettingsError when it is not."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(_why_not(settings, error)) from error


def _why_not(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} is in use; stop the program that has it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {settings.port} needs more rights than this user has; choose one above 1023 with --port"
    return f"{settings.bind} cannot be listened on: {error.strerror or error}"


def check_functions(settings: Settings) -> None:
    """Find out whether all functions can be made; SettingsError when a file or a plugin cannot be used."""
    default = (("*", "fail"),)
    if settings.functions is None and not settings.function_plugins and settings.function_errors == default:
        return  # PERF: nothing of it can be wrong, and the server is ready that much sooner.
    from policy_server.extending import extensions

    extensions(settings)


def prepare_store(settings: Settings) -> None:
    """Bring the store up to date and publish the bundled policies, before workers come."""
    if settings.storage_url == "memory:":
        return
    # PERF: half of what the assembly takes to import; the server is ready that much sooner.
    from policy_server.sources.bundled import BundledFeed
    from policy_server.storage.opening import open_store
    from policy_server.toolkit.location import bundled_root

    def now() -> datetime:
        return datetime.now(UTC)

    try:
        store = open_store(settings.database, keep=settings.keep_revisions)
        store.ping()
        if settings.bundled:
            BundledFeed(bundled_root(), store, now).upgrade()
        tell_token(first_token(settings, Tokens(store.tokens, store.audit, now)))
        store.close()
    except StoreUnavailable as error:
        raise SettingsError(f"the store {settings.database_shown} cannot be used: {error.message}") from error


def tell_token(file: Path | None) -> None:
    """Say where the first admin token is, when one was made; not the token itself, because output is kept in logs."""
    if file is not None:
        say(f"There was no token yet, so one for the role admin was made. It is in {file}:")
        say("make your own with it, or with this command on this machine, then revoke it and delete the file.")
        say("  policy-server tokens create NAME --scope evaluate\n")


def greet(settings: Settings) -> None:
    """Print addresses to try, ready to paste."""
    url = settings.url
    service = settings.pexip_service_policy
    workers = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    say(f"policy-server {VERSION} on {url}, {workers}, state in {settings.state_dir}\n")
    say("Ask as a Pexip node does:")
    say(f"  curl -s '{url}/policy/v1/service/configuration?local_alias=my-vmr-kari&protocol=sip'\n")
    say("Ask the same policy as the policy service does" + (" (with a token):" if settings.auth_enabled else ":"))
    body = '{"local": {"user": "my-vmr-kari"}}'
    pick = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"decision\"])'"
    header = ' -H "Authorization: Bearer $POLICY_TOKEN"' if settings.auth_enabled else ""
    say(f"  curl -s '{url}/policy/{service}/evaluation'{header} -d '{body}' | {pick}\n")
    say(f"Policies       {url}/v1/policies")
    say(f"Documentation  {url}/docs\n")
    if is_loopback(settings.host):
        return
    if not settings.pexip_credentials:
        say(
            "warning: everybody who reaches this address is answered like a Pexip node; "
            "POLICY_PEXIP_CREDENTIALS asks for a password"
        )
    if not settings.auth_enabled:
        say(
            "warning: everybody who reaches this address may evaluate and change policies; "
            "POLICY_AUTH_ENABLED=true asks for a token"
        )


def become_gunicorn(config: Path | None, overrides: dict[str, object]) -> NoReturn:
    """Run gunicorn's master in this process, so that signals reach it without a middleman.

    PERF: gunicorn by exec imports everything again; the server is ready a second later then. What was
    imported so far started no thread, and the workers, forked from here, share it.
    """
    os.environ.update(to_environ(overrides))
    if config is not None:
        os.environ[CONFIG_FILE] = str(config.absolute())
    from policy_server.cli.master import Master

    conf = Path(__file__).parent.parent / "gunicorn_conf.py"
    # gunicorn reads its own command line, and runs it again when it is told to replace itself (USR2).
    sys.argv = [str(Path(sys.executable).with_name("gunicorn")), "--config", str(conf)]
    Master().run()
    sys.exit(0)
