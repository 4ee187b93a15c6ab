"""A WSGI application that is as slow as it is asked to be, under our worker.

Started by gunicorn; ``WORKER_APP_GATE`` names a file for whose coming ``/block`` waits.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from policy_server import worker

worker.HEAD_TIME = 0.3  # type: ignore[misc] # nobody wants to wait ten seconds for a test
worker.BODY_TIME = 0.3  # type: ignore[misc]


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer the path; wait for the gate, or read the body, when asked to."""
    path = environ["PATH_INFO"]
    status = "200 OK"
    if path.startswith("/block"):
        gate = Path(os.environ["WORKER_APP_GATE"])
        while not gate.exists():
            time.sleep(0.01)
    elif path == "/read":
        try:
            environ["wsgi.input"].read()
        except TimeoutError:
            status = "408 Request Timeout"
    body = path.encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
