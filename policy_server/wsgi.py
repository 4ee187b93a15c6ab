"""The WSGI face: what a server process loads, after it was forked."""

import os

from policy_server.api.app import App
from policy_server.assembly import Assembly, assemble
from policy_server.logs import configure_logging
from policy_server.settings import load_settings

_open: list[Assembly] = []


def create() -> App:
    """Assemble everything for this process, start its threads and return the application.

    Raises:
        SettingsError: the environment does not make a usable configuration.
    """
    settings = load_settings(environ=os.environ)
    configure_logging(settings.log_level, settings.log_format)
    assembly = assemble(settings)
    assembly.open()
    _open.append(assembly)
    return assembly.app()


def close() -> None:
    """Stop this process's threads and give back what it holds; safe to repeat."""
    while _open:
        _open.pop().close()
