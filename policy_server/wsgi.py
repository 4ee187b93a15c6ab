"""The WSGI face: what a server process loads, after it was forked."""

import atexit
import logging
import os
import time
from typing import Final

from policy_server import handover
from policy_server.api.app import App
from policy_server.assembly import Assembly, assemble
from policy_server.logs import configure_logging
from policy_server.model.errors import StoreUnavailable
from policy_server.settings import Settings, load_settings

PATIENCE: Final = 10.0
"""Seconds a new worker waits for a store that is away before another one takes its place."""

_PAUSE: Final = 0.5
log = logging.getLogger(__name__)


def create() -> App:
    """Assemble everything for this process, start its threads and return the application.

    Raises:
        SettingsError: the environment does not make a usable configuration.
        SystemExit: the store was away all the time.
    """
    settings = handover.settings or load_settings(environ=os.environ)
    configure_logging(settings.log_level, settings.log_format)
    if settings.traced:
        _trace()
    assembly = _open(settings)
    # gunicorn ends its workers by leaving the interpreter: leases and native handles go back then.
    atexit.register(assembly.close)
    return assembly.app()


def _trace() -> None:
    """Record what this process does; before anything is assembled, which looks whether somebody does."""
    try:
        from policy_server.tracing.sdk import start  # noqa: PLC0415 - not there, or not wanted, everywhere

        # Called last, when all work is over.
        atexit.register(start())
    except Exception as error:  # noqa: BLE001 - calls matter more than being watched, whatever the library does not like
        log.warning("there are no traces: %s", error, extra={"action": "tracing.failed"})


def _open(settings: Settings) -> Assembly:
    """Open the assembly, waiting a while for the store.

    An error here would be the end of the whole server: gunicorn takes a worker that does not
    come up for a fault in the application. The other workers answer from what they have loaded.
    """
    until = time.monotonic() + PATIENCE
    while True:
        assembly = assemble(settings)
        try:
            assembly.open()
        except StoreUnavailable as error:
            assembly.close()
            log.warning("a new worker waits for the store: %s", error.message, extra={"action": "store.awaited"})
            if time.monotonic() > until:
                raise SystemExit(1) from error
            time.sleep(_PAUSE)
        else:
            return assembly
