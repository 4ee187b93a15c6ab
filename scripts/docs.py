"""Write docs/settings.md, docs/cli.md and docs/rego.md from the code; ``--check`` only compares.

``scripts/bench builtins --json | scripts/docs.py --costs`` keeps what was measured for docs/rego.md.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLI_HEAD = """<!-- Made by scripts/docs.py; a test compares. -->

Results go to standard output, everything else to standard error. Tables are drawn on a terminal only; elsewhere
columns are separated by tabs, and `--format json` is for programs.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the answer is no: undefined, not formatted, tests fail, the policy is wrong or not there |
| 2 | the command line cannot be understood |
| 3 | the configuration or the installation cannot be used |
| 4 | a server or the store cannot be reached, or does not let you in |
| 5 | refused in this state: already locked, not locked |

"""


def cli_page() -> str:
    """Return the reference of all commands."""
    os.environ |= {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
    from typer.cli import app as typer_cli  # noqa: PLC0415 - reads the terminal's width at import

    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        typer_cli(["policy_server.cli.app", "utils", "docs", "--name", "policy-server", "--title", "Command line"])
    title, _, rest = page.getvalue().partition("\n\n")
    return f"{title}\n\n{CLI_HEAD}{rest.rstrip()}\n"


def settings_page() -> str:
    """Return the reference of all settings."""
    from policy_server.cli.config import markdown  # noqa: PLC0415 - after the environment was set

    return markdown()


def rego_page() -> str:
    """Return docs/rego.md with its table of functions made anew."""
    from policy_server.builtins.registry import Registry  # noqa: PLC0415
    from policy_server.settings import load_settings  # noqa: PLC0415
    from policy_server.toolkit.location import find_toolkit  # noqa: PLC0415
    from policy_server.toolkit.toolkit import Toolkit  # noqa: PLC0415

    found = find_toolkit()
    if found is None:
        raise SystemExit("docs: OPA's toolkit is missing; run scripts/setup")
    toolkit = Toolkit(found, cache=load_settings().cache_dir / "toolkit")
    python = Registry.discover().names() | {"http.send", "net.lookup_ip_addr"}
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    rows = [_row(each, python, costs) for each in toolkit.functions() if each["name"] not in _UNCALLED]
    written, _, _ = (ROOT / "docs" / "rego.md").read_text(encoding="utf-8").partition(_MADE)
    return "\n".join([written + _MADE, "", *_TABLE_HEAD, *rows, ""])


COSTS = ROOT / "scripts" / "benchmarks" / "measured.json"
"""What functions cost, by name: microseconds of an evaluation with one call here, and in OPA's evaluator."""

_MADE = "<!-- The rest is made by scripts/docs.py; a test compares. -->"
_UNCALLED = {"assign", "eq", "internal.print", "internal.test_case", "rego.metadata.chain", "rego.metadata.rule"}
_TABLE_HEAD = [
    "| function | answered by | µs here | µs in OPA | what `fast` does differently |",
    "|---|---|---|---|---|",
]
_MATCHING = {
    "regex.match": "WebAssembly (constant patterns), Python, OPA's code",
    "re_match": "WebAssembly (constant patterns), OPA's code",
}
"""Functions whose arguments decide who answers: see toolkit/go/plain.go and builtins/regex.py."""
_BY = {"module": "WebAssembly", "guarded": "WebAssembly; OPA's code where it differs", "host": "OPA's code"}


def _row(about: Mapping[str, str], python: Collection[str], costs: Mapping[str, Sequence[float]]) -> str:
    name = about["name"]
    # What authors write as print is compiled to internal.print.
    answered = "Python" if name in python or f"internal.{name}" in python else _BY[about["runs"]]
    if name in _MATCHING:
        answered = _MATCHING[name]
    ours, opas = (f"{each:.0f}" if each else "" for each in costs.get(name, (0.0, 0.0)))
    return f"| `{name}` | {answered} | {ours} | {opas} | {about.get('differs', '')} |"


def keep_costs(report: str) -> None:
    """Keep the medians of ``scripts/bench builtins --json``."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from benchmarks.samples import function_of  # noqa: PLC0415 - only here

    kept: dict[str, Sequence[float]] = {}
    for each in json.loads(report)["comparisons"]:
        figures = [each["ours"], *each["peers"]]
        if all("median" in figure for figure in figures):
            kept.setdefault(function_of(each["case"]), [round(figure["median"], 1) for figure in figures])
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
    COSTS.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write or compare both pages; 1 when one is not what the code says."""
    if "--costs" in arguments:
        keep_costs(sys.stdin.read())
    stale = []
    for name, page in (
        ("settings.md", settings_page()),
        ("cli.md", cli_page()),
        ("rego.md", rego_page()),
    ):
        target = ROOT / "docs" / name
        if target.is_file() and target.read_text(encoding="utf-8") == page:
            continue
        stale.append(name)
        if "--check" not in arguments:
            target.write_text(page, encoding="utf-8")
    if stale:
        print("\n".join(f"docs/{name}" for name in stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
