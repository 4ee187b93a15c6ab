"""How gunicorn runs us; read by gunicorn, filled from our settings."""

import os
import resource
import shutil
from pathlib import Path

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from policy_server import handover
from policy_server.admission import check_access
from policy_server.api import counts
from policy_server.logs import logging_config
from policy_server.settings import load_settings

_settings = handover.settings = load_settings(environ=os.environ)
check_access(_settings)
_metrics = Path(_settings.state_dir) / "run" / "metrics"
# Read by prometheus_client at its first import, which happens in the workers.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)

wsgi_app = "policy_server.wsgi:create()"
bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = "policy_server.worker.RequestWorker"
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, for heartbeats only
timeout = 60
# Idle connections cost little, but each one a descriptor; when there are no more, no call comes in.
_descriptors, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
if _descriptors < 8192:
    _descriptors = 8192 if _most == resource.RLIM_INFINITY else min(8192, _most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptors, _most))
worker_connections = max(128, min(4096, _descriptors - 256))
graceful_timeout = int(_settings.graceful_timeout)
keepalive = int(_settings.keepalive)
# A Pexip query holds some forty keys; gunicorn's default line is short for long aliases and names.
limit_request_line = 8190
limit_request_fields = 200
limit_request_field_size = 16380
# The control socket would need a writable home directory.
control_socket_disable = True
# No preload: threads and native handles start in the worker that owns them.
preload_app = False
proc_name = "policy-server"
# Our own log lines; gunicorn's access log would hold query strings, and with them secrets.
accesslog = None
logger_class = "policy_server.worker.QuietLogger"
logconfig_dict = logging_config(_settings.log_level, _settings.log_format)


def on_starting(_arbiter: Arbiter) -> None:
    """Forget the metrics of processes that are gone."""
    shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True, exist_ok=True)


def post_fork(_arbiter: Arbiter, worker: Worker) -> None:
    """Take the room that the worker's counts need while there is some."""
    try:
        counts.reserve(_metrics, worker.pid)
    except OSError as error:
        # Calls matter more than counting them.
        worker.log.warning(
            "%s cannot be written (%s): this worker is not counted in /metrics", _metrics, error.strerror
        )
        counts.keep_in_memory()


def when_ready(arbiter: Arbiter) -> None:
    """Serve the metrics of all workers on an address of their own, when one is set."""
    if not _settings.metrics_address or getattr(arbiter, "metrics_server", None) is not None:
        return
    from prometheus_client import CollectorRegistry, multiprocess, start_http_server  # noqa: PLC0415 - as below

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    host, _, port = _settings.metrics_address.rpartition(":")
    try:
        arbiter.metrics_server = start_http_server(int(port), host.strip("[]") or "0.0.0.0", registry)  # noqa: S104 - as asked
    except OSError as error:
        # Calls matter more than counting them.
        arbiter.log.warning("metrics cannot be served on %s: %s", _settings.metrics_address, error.strerror)


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Keep no more of a worker that is gone than what it has counted, and none of its gauges."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - needs the directory named above

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    counts.trim(_metrics, worker.pid)
