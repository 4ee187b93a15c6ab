"""Looks whether everything is as it should be."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_server.cli import options, output
from policy_server.cli.client import RemoteClient
from policy_server.model.errors import FetchError, PolicyServerError, SettingsError
from policy_server.settings import Settings


class Verdict(StrEnum):
    """OK; WARN: works, with less; FAIL: does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and how it is."""

    what: str
    verdict: Verdict
    detail: str


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Only ask the running server whether it is ready.")] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where the server is, if not where it is set.")] = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Check the installation; exit 1 when something does not work."""
    settings = options.settings_from(config, state_dir=state_dir)
    found = [_server(settings, url, quick=quick)] if quick else list(examine(settings, url))
    if form is options.Format.JSON:
        output.write_json([{"what": each.what, "verdict": str(each.verdict), "detail": each.detail} for each in found])
    else:
        output.write_table(("", "", ""), [(each.verdict, each.what, each.detail) for each in found])
    if any(each.verdict is Verdict.FAIL for each in found):
        raise typer.Exit(output.NEGATIVE)


def examine(settings: Settings, url: str | None) -> Iterator[Finding]:
    """Look at everything, one thing after the other."""
    yield Finding("python", Verdict.OK, f"{platform.python_version()} at {sys.executable}")
    for warning in settings.warnings:
        yield Finding("settings", Verdict.WARN, warning)
    yield _look("state directory", lambda: _state_directory(settings))
    yield _look("store", lambda: _store(settings))
    yield _look("bundled policies", _bundled)
    # Without it the published policies still answer; only compiling and OPA's own functions are gone.
    yield _look("toolkit", lambda: _toolkit(settings), otherwise=Verdict.WARN)
    yield _look("engine", lambda: _engine(settings))
    yield _server(settings, url, quick=False)


def _look(what: str, look: Callable[[], str], otherwise: Verdict = Verdict.FAIL) -> Finding:
    try:
        return Finding(what, Verdict.OK, look())
    except PolicyServerError as error:
        return Finding(what, otherwise, error.message)


def _state_directory(settings: Settings) -> str:
    from policy_server.cli.serve import check_state_dir

    check_state_dir(settings.state_dir)
    return f"{settings.state_dir} can be written"


def _store(settings: Settings) -> str:
    from policy_server.cli.tools import all_policies, has_store
    from policy_server.storage.opening import open_store

    if not has_store(settings):
        return f"{settings.database_shown} is made when the server starts for the first time"
    store = open_store(settings.database, keep=settings.keep_revisions)
    try:
        store.ping()
        return f"{settings.database_shown}: {len(all_policies(store))} policies"
    finally:
        store.close()


def _bundled() -> str:
    from policy_server.toolkit.location import bundled_root

    compiled = bundled_root() / "compiled"
    count = len(list(compiled.glob("*/*/*/policy.wasm")))
    if count == 0:
        raise SettingsError(f"{compiled} has none; run scripts/setup")
    return f"{count} in {compiled}"


def _toolkit(settings: Settings) -> str:
    from policy_server.cli.toolkit import describe

    facts = describe(settings)
    return f"OPA {facts['opa']}, {facts['path']}"


def _engine(settings: Settings) -> str:
    """Evaluate one bundled policy for real."""
    from policy_server.cli.tools import ready_policy
    from policy_server.toolkit.location import bundled_root

    found: list[Path] = sorted((bundled_root() / "compiled").glob("*/*/*/policy.wasm"))
    if not found:
        raise SettingsError("there is no compiled policy to try it with")
    policy = ready_policy(settings, found[0].read_bytes(), None)
    try:
        policy.evaluate_json(b"{}")
        return f"evaluates {found[0].parent.relative_to(bundled_root() / 'compiled')}"
    finally:
        policy.close()


def _server(settings: Settings, url: str | None, *, quick: bool) -> Finding:
    where = url or settings.local_url
    try:
        answer = RemoteClient(where, seconds=3).send("GET", "/readyz")
    except FetchError as error:
        return Finding("server", Verdict.FAIL if quick or url else Verdict.WARN, error.message)
    if answer.status == 200:
        return Finding("server", Verdict.OK, f"{where} is ready")
    return Finding("server", Verdict.FAIL, f"{where} is not ready (HTTP {answer.status})")
