"""Results to standard output, everything else to standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from policy_server.model.errors import (
    FetchError,
    Forbidden,
    NotAuthenticated,
    PolicyServerError,
    Refused,
    SettingsError,
    StoreUnavailable,
    ToolkitError,
)
from policy_server.model.values import Json

NEGATIVE: Final = 1
"""The answer is no: something is undefined, wrong, or different."""
MISCONFIGURED: Final = 3
UNREACHABLE: Final = 4
CONFLICT: Final = 5

_CODES: Final[tuple[tuple[type[PolicyServerError], int], ...]] = (
    (SettingsError, MISCONFIGURED),
    (ToolkitError, MISCONFIGURED),
    (StoreUnavailable, UNREACHABLE),
    (FetchError, UNREACHABLE),
    (NotAuthenticated, UNREACHABLE),
    (Forbidden, UNREACHABLE),
    (Refused, CONFLICT),
)


def exit_code(error: PolicyServerError) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), NEGATIVE)


def say(text: str = "") -> None:
    """Tell whoever runs the command something that is not the result."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Shows how far a long piece of work is: one line that changes on a terminal, elsewhere its first one."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._shown = False

    def __call__(self, line: str) -> None:
        """Show how far it is now."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif not self._shown:
            say(line)
        self._shown = True

    def done(self) -> None:
        """Take the line away."""
        if self._shown and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def report(error: PolicyServerError) -> None:
    """Tell what went wrong: every problem on a line of its own."""
    if not error.problems:
        say(f"policy-server: {error.message}")
        return
    for problem in error.problems:
        say(str(problem) if problem.file else f"policy-server: {problem}")


def write_json(value: object) -> None:
    """Write any value as JSON, indented."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def write_pretty(text: bytes) -> None:
    """Write JSON text indented, in colours on a terminal."""
    indented = msgspec.json.format(text, indent=2).decode()
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.syntax import Syntax

        Console().print(Syntax(indented, "json", background_color="default", word_wrap=True))
    else:
        print(indented)


def write_table(
    columns: Sequence[str], rows: Iterable[Sequence[Json]], *, styles: Mapping[str, str] | None = None
) -> None:
    """Write rows as a table on a terminal, else separated by tabs for other programs.

    ``styles`` are rich's, for cells with exactly this text.
    """
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in texts:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in texts:
        # As Text: brackets in a cell are no markup.
        table.add_row(*(Text(cell, (styles or {}).get(cell, "")) for cell in row))
    Console().print(table)
