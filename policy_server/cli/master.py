"""gunicorn's master, which survives a configuration that was broken while it ran."""

import logging
import os

from gunicorn.app.wsgiapp import WSGIApplication  # type: ignore[import-untyped] # gunicorn has no types

from policy_server.admission import check_access
from policy_server.model.errors import SettingsError
from policy_server.settings import load_settings

log = logging.getLogger(__name__)


class Master(WSGIApplication):  # type: ignore[misc] # gunicorn has no types
    """Reads gunicorn_conf.py, at the start and at every HUP."""

    def reload(self) -> None:
        """Read the settings again; what cannot be used is told, and the old ones stay in force."""
        try:
            check_access(load_settings(environ=os.environ))
        except SettingsError as error:
            log.error("the old settings stay in force: %s", error.message)  # noqa: TRY400 - nobody needs the stack
            return
        super().reload()
