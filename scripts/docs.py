"""Write docs/settings.md and docs/cli.md from the code; ``--check`` only compares."""

import contextlib
import io
import os
import sys
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
| 4 | a server or the store cannot be reached |
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


def main(arguments: list[str]) -> int:
    """Write or compare both pages; 1 when one is not what the code says."""
    stale = []
    for name, page in (("settings.md", settings_page()), ("cli.md", cli_page())):
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
