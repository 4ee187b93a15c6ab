"""Waiting for what knows no deadline itself: stores, and tokens that others fetch."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

MOST: Final = 64
"""How many threads of a process may wait at a time, those included that nobody waits for any more."""

_places = threading.BoundedSemaphore(MOST)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do work in a thread and return its answer, or raise its error; TimeoutError when ``seconds`` are over.

    What is late goes on, and its answer is dropped: a write that was not waited for may still be done.
    """
    until = time.monotonic() + seconds
    # Hanging work keeps its place, so that a store that is down costs this many threads and no more.
    if not _places.acquire(timeout=max(seconds, 0.0)):
        raise TimeoutError
    answers: list[T] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(work())
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            failures.append(error)
        finally:
            _places.release()

    thread = threading.Thread(target=run, name="policy-patience", daemon=True)
    thread.start()
    thread.join(max(until - time.monotonic(), 0.0))
    if failures:
        raise failures[0]
    if not answers:
        raise TimeoutError
    return answers[0]
