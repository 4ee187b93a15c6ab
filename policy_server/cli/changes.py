"""Changes policies, and shows what they were before, in the local store or on a running server."""

from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlencode

import msgspec
import typer

from policy_server.cli import options, output
from policy_server.cli.policies import PolicyArgument, path_of
from policy_server.cli.remote import Place, ask
from policy_server.model.errors import InvalidSource
from policy_server.model.values import Json, JsonObject

Match = Annotated[str | None, typer.Option("--if-match", help="Only if it is still the revision with this ETag.")]
_DOCUMENTS = {
    "data.json": "data",
    "data-config.json": "dataConfig",
    "output-schema.json": "outputSchema",
    "export-config.json": "exportConfig",
}


def put(
    policy: PolicyArgument,
    source: Annotated[Path, typer.Argument(help="A directory with policy.rego, or a .rego file.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and run *_test.rego; publish nothing.")] = False,
    if_match: Match = None,
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Create or replace a policy with the files of a directory."""
    draft = _read(source)
    if not dry_run:
        draft.pop("tests", None)
    target = f"/v1/policies/{path_of(policy)}{'/check' if dry_run else ''}"
    answer = ask(
        "POST" if dry_run else "PUT",
        target,
        Place(server, token, config, state_dir),
        msgspec.json.encode(draft),
        _headers(if_match),
    ).document()
    if dry_run:
        _report(policy, answer)
    else:
        output.say(f"{policy} is revision {answer['revision']}{'' if answer['changed'] else ', as before'}")


def delete(
    policy: PolicyArgument,
    yes: options.Yes = False,
    if_match: Match = None,
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Delete a policy with its history."""
    if not yes:
        typer.confirm(f"Delete {policy} with its history?", abort=True, err=True)
    target = f"/v1/policies/{path_of(policy)}"
    ask("DELETE", target, Place(server, token, config, state_dir), headers=_headers(if_match))
    output.say(f"{policy} is deleted")


def history(
    policy: PolicyArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many revisions.")] = 20,
    server: options.Server = None,
    token: options.Token = None,
    form: options.Output = options.Format.PRETTY,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """List the revisions of a policy, newest first."""
    target = f"/v1/policies/{path_of(policy)}/revisions?{urlencode({'limit': limit})}"
    found = cast(list[JsonObject], ask("GET", target, Place(server, token, config, state_dir)).document()["revisions"])
    if form is options.Format.JSON:
        output.write_json(found)
        return
    rows: list[list[Json]] = [
        [
            f"{each['revision']}{' *' if each['active'] else ''}",
            str(each["created_at"])[:19] + "Z",
            each["author"],
            each["origin"],
            str(each["digest"])[:12],
        ]
        for each in found
    ]
    output.write_table(("REVISION", "MADE", "BY", "FROM", "DIGEST"), rows)


def diff(
    policy: PolicyArgument,
    old: Annotated[int, typer.Argument(min=1, help="A revision.", show_default=False)],
    new: Annotated[int, typer.Argument(min=1, help="Another one.", show_default=False)],
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Show what is different between two revisions; exit 1 when something is."""
    target = f"/v1/policies/{path_of(policy)}/revisions/{old}/diff/{new}"
    parts = cast(list[JsonObject], ask("GET", target, Place(server, token, config, state_dir)).document()["parts"])
    for part in parts:
        print(part["diff"] or f"{part['part']} differs, and is too large to compare\n", end="")
    if parts:
        raise typer.Exit(output.NEGATIVE)


def rollback(
    policy: PolicyArgument,
    revision: Annotated[int, typer.Argument(min=1, help="The revision to go back to.", show_default=False)],
    if_match: Match = None,
    server: options.Server = None,
    token: options.Token = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make what a revision was, data included, the newest revision."""
    answer = ask(
        "POST",
        f"/v1/policies/{path_of(policy)}/rollback",
        Place(server, token, config, state_dir),
        msgspec.json.encode({"revision": revision}),
        _headers(if_match),
    ).document()
    output.say(f"{policy} is revision {answer['revision']}, which is what revision {revision} was")


def _read(source: Path) -> dict[str, object]:
    from policy_server.cli.tools import read_text

    file = source / "policy.rego" if source.is_dir() else source
    draft: dict[str, object] = {"rego": read_text(file)}
    if not source.is_dir():
        return draft
    for name, part in _DOCUMENTS.items():
        if (source / name).is_file():
            draft[part] = read_text(source / name)
    tests = {test.name: read_text(test) for test in sorted(source.glob("*_test.rego"))}
    return draft | ({"tests": tests} if tests else {})


def _headers(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": f'"{if_match.strip(chr(34))}"' if if_match != "*" else "*"}


def _report(policy: str, answer: JsonObject) -> None:
    """Print what a check found; exit 1 when it is not fine."""
    tests = cast("JsonObject | None", answer["tests"])
    for problem in (*cast(list[JsonObject], answer["problems"]), *cast(list[JsonObject], answer["warnings"])):
        where = ":".join(str(problem[part]) for part in ("file", "line", "column") if problem.get(part))
        print(f"{where}: {problem['detail']}" if where else problem["detail"])
    results = [] if tests is None else cast(list[JsonObject], tests["results"])
    for result in results:
        if result["status"] not in {"pass", "skip"}:
            print(f"{result['file']}:{result['row']}: {result['name']}: {result['status']}")
    if tests is not None:
        output.say(f"{tests['passed']} of {len(results)} Rego tests pass")
    if not answer["ok"]:
        raise InvalidSource(f"{policy} would not be published.")
    output.say(f"{policy} can be published")
