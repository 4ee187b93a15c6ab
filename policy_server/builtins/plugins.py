"""Functions that other Python packages bring: entry points of the group ``policy_server.builtins``.

An entry point names a ``Builtin`` (made with ``builtins.declare.builtin``) or several in a list or tuple.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from policy_server.builtins.declare import Builtin
from policy_server.model.errors import SettingsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "policy_server.builtins"


def plugins(wanted: Sequence[str]) -> tuple[Builtin, ...]:
    """Return the functions of the installed entry points whose names fit one of the patterns.

    SettingsError when a pattern fits none, or when one cannot be loaded or brings something else.
    """
    if not wanted:
        return ()
    # PERF: it takes a while to import, and reads a file of every installed package.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = sorted(entry_points(group=GROUP), key=lambda each: each.name)
    for pattern in wanted:
        if not any(fnmatchcase(each.name, pattern) for each in found):
            known = ", ".join(each.name for each in found) or "none"
            raise SettingsError(
                f"no installed package has an entry point {pattern!r} in the group {GROUP} (there: {known})"
            )
    chosen = [each for each in found if any(fnmatchcase(each.name, pattern) for pattern in wanted)]
    return tuple(builtin for each in chosen for builtin in _loaded(each))


def _loaded(point: "EntryPoint") -> Sequence[Builtin]:
    try:
        found = point.load()
    except Exception as error:
        # Foreign code: it may raise anything, and the operator must hear which package it was.
        raise SettingsError(
            f"the entry point {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    many = found if isinstance(found, list | tuple) else (found,)
    if not all(isinstance(each, Builtin) for each in many):
        raise SettingsError(
            f"the entry point {point.name!r} ({point.value}) brings something that is no Builtin; make it with "
            "policy_server.builtins.declare.builtin"
        )
    return many
