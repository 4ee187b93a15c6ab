"""Follows changes under folders with the operating system's help, or by looking now and then."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from watchfiles import Change, watch

STEP: Final = 50
"""Milliseconds without a change before a group of changes counts as done."""
LONGEST: Final = 1000
"""Milliseconds after which a group that does not end is looked at all the same."""

log = logging.getLogger(__name__)


def follow(folders: Sequence[Path], look: Callable[[], None], stop: threading.Event, *, poll: float) -> None:
    """Call ``look`` now, after each change, and every ``poll`` seconds, until told to stop.

    The regular look is cheap and catches what no notification tells: a folder
    that appears, is replaced or remounted, and systems without notifications.
    """
    look()
    told = False
    while not stop.is_set():
        try:
            _watch(folders, look, stop, poll=poll)
        except (OSError, RuntimeError) as error:  # RuntimeError: the library's own errors
            if not told:
                log.warning(
                    "folders are looked at every %g s, watching them does not work: %s",
                    poll,
                    error,
                    extra={"action": "feed.polling"},
                )
            told = True
            if not stop.wait(poll):
                look()


def _watch(folders: Sequence[Path], look: Callable[[], None], stop: threading.Event, *, poll: float) -> None:
    """Watch until told to stop, or until a folder is no longer the one that is watched."""
    resolved = [folder.resolve(strict=True) for folder in folders]
    watched = _identities(folders)
    groups = watch(
        *resolved,
        watch_filter=_counts(resolved),
        debounce=LONGEST,
        step=STEP,
        stop_event=stop,
        rust_timeout=max(1, int(poll * 1000)),
        yield_on_timeout=True,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    try:
        look()  # what happened before the watch began
        for _ in groups:
            look()
            if _identities(folders) != watched:
                return
    finally:
        groups.close()


def _identities(folders: Sequence[Path]) -> list[tuple[int, int]]:
    return [((about := folder.stat()).st_dev, about.st_ino) for folder in folders]


def _counts(roots: Sequence[Path]) -> Callable[[Change, str], bool]:
    """Return a filter for changes: hidden directories (``.git``) are somebody else's business.

    Kubernetes swaps mounted files through a link ``..data``: that counts.
    """

    def counts(_change: Change, path: str) -> bool:
        for root in roots:
            if Path(path).is_relative_to(root):
                parts = Path(path).relative_to(root).parts
                return not any(part.startswith(".") and not part.startswith("..") for part in parts)
        return True

    return counts
