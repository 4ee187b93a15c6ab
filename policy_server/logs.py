"""Sets logging up: JSON lines, or text on a terminal; UTC; no secrets.

Everything goes through the standard library's loggers, ours and the
libraries', and is written by structlog's formatter, one line a record.
"""

import logging.config
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson
import structlog

from policy_server.model.secrets import COVERED, cover_text, names_secret
from policy_server.tracing import trace

Event = MutableMapping[str, Any]  # structlog hands out whatever callers log

ACCESS: Final = "policy_server.access"
"""The logger of request lines."""

ACCESS_FIELDS: Final = ("action", "request_id", "method", "path", "status", "duration_ms", "trace_id", "span_id")
"""What a request line has besides the time."""

DECISIONS: Final = "decision"
"""The logger of decisions, whose lines are made elsewhere (decisions/sinks.py)."""

_QUIET: Final[Mapping[str, str]] = {
    "urllib3": "WARNING",
    "watchfiles": "WARNING",
    "alembic": "WARNING",
    "opentelemetry": "ERROR",
}
"""Libraries whose chatter helps nobody, and the least level that is kept of them."""


def hide_secrets(_logger: object, _method: str, event: Event) -> Event:
    """Cover values whose key names a secret, and credentials inside of texts."""
    for key, value in event.items():
        event[key] = COVERED if names_secret(key) else _covered(value)
    return event


def _covered(value: Any) -> Any:  # any value may be logged
    if isinstance(value, str):
        return cover_text(value)
    if isinstance(value, Mapping):
        return {key: COVERED if names_secret(str(key)) else _covered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_covered(item) for item in value]
    return value


def _place(_logger: object, _method: str, event: Event) -> Event:
    """Say which trace this belongs to."""
    return {**trace.fields(), **event}


def _rename(_logger: object, _method: str, event: Event) -> Event:
    """Put the keys in the order people read them."""
    first = {"ts": event.pop("timestamp", None), "level": event.pop("level", None), "logger": event.pop("logger", None)}
    return {
        **{key: value for key, value in first.items() if value is not None},
        "event": event.pop("event", ""),
        **event,
    }


def _console(terminal: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)


class AccessFormatter(logging.Formatter):
    """Writes the line of a request.

    PERF: the chain that other lines go through costs 64 µs, this 4; what it would
    hide is not in these lines in the first place (api/middleware.py).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON line of the fields the middleware gave."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg,
        }
        known = record.__dict__
        line |= {key: known[key] for key in ACCESS_FIELDS if key in known}
        return orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()


def logging_config(level: str, log_format: str, *, stream: TextIO | None = None) -> dict[str, Any]:
    """Return the set-up as ``logging.config.dictConfig`` takes it; gunicorn wants it in this form.

    Args:
        level: the least level to log (``debug`` … ``critical``).
        log_format: ``json``, ``console``, or ``auto`` for console on a terminal.
        stream: where to write; None means standard output.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty()
    text = log_format == "console" or (log_format == "auto" and terminal)
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        _place,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Callable[..., Any]] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if text:
        last += [hide_secrets, _console(terminal)]
    else:
        last += [structlog.processors.format_exc_info, hide_secrets, _rename, structlog.processors.JSONRenderer()]
    requests: dict[str, Any] = {} if text else {ACCESS: {"handlers": ["requests"], "propagate": False}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": structlog.stdlib.ProcessorFormatter, "processors": last, "foreign_pre_chain": shared},
            "request": {"()": AccessFormatter},
            "bare": {"format": "%(message)s"},
        },
        "handlers": {
            "lines": {"class": "logging.StreamHandler", "formatter": "line", "stream": stream},
            "requests": {"class": "logging.StreamHandler", "formatter": "request", "stream": stream},
            "decisions": {"class": "logging.StreamHandler", "formatter": "bare", "stream": stream},
        },
        "root": {"level": level.upper(), "handlers": ["lines"]},
        "loggers": {
            **{name: {"level": least} for name, least in _QUIET.items()},
            **requests,
            DECISIONS: {"level": "INFO", "handlers": ["decisions"], "propagate": False},
            # gunicorn brings handlers of its own; these two entries take them off.
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            # SECURITY: its access lines hold query strings; ours (policy_server.access) do not.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def configure_logging(level: str, log_format: str, *, stream: TextIO | None = None) -> None:
    """Set logging up for this process; safe to repeat."""
    logging.captureWarnings(capture=True)
    logging.config.dictConfig(logging_config(level, log_format, stream=stream))
