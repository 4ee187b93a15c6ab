"""What gunicorn's master knows and its workers, forked from it, need.

A worker that starts later, because another one died, must come up with what
the server was started with, whatever has become of the file in the meantime.
"""

from policy_server.settings import Settings

settings: Settings | None = None
"""The settings in force; None in a process that is not a worker of ours."""
