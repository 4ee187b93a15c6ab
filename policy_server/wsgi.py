"""The WSGI face: what a server process loads, after it was forked."""

import atexit
import os

from policy_server import handover
from policy_server.api.app import App
from policy_server.assembly import assemble
from policy_server.logs import configure_logging
from policy_server.settings import load_settings


def create() -> App:
    """Assemble everything for this process, start its threads and return the application.

    Raises:
        SettingsError: the environment does not make a usable configuration.
    """
    settings = handover.settings or load_settings(environ=os.environ)
    configure_logging(settings.log_level, settings.log_format)
    assembly = assemble(settings)
    # gunicorn ends its workers by leaving the interpreter: leases and native handles go back then.
    atexit.register(assembly.close)
    assembly.open()
    return assembly.app()
