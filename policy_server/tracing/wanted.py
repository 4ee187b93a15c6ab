"""Whether the environment asks for traces, and what is in the way of them.

The variables are OpenTelemetry's own. They are often set for all containers of a cluster at once, so that what stands
in the way of traces is told and stops no server: calls matter more than being watched.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where traces go; the first that is set counts, and without one there are none."""

_DISABLED: Final = "OTEL_SDK_DISABLED"
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def wanted(environ: Mapping[str, str]) -> bool:
    """Tell whether traces are to be recorded, and can be."""
    return _asked(environ) is not None and obstacle(environ) is None


def obstacle(environ: Mapping[str, str]) -> str | None:
    """Return, as a sentence, why traces that were asked for cannot be recorded; None when nothing is in the way."""
    variable = _asked(environ)
    if variable is None:
        return None
    exporter = environ.get(_EXPORTER, "").strip()
    if exporter not in {"", "otlp"}:
        return f"{variable} has no effect: {_EXPORTER} is {exporter}, and only otlp is known"
    protocols = ((name, environ.get(name, "").strip()) for name in _PROTOCOLS)
    name, protocol = next((each for each in protocols if each[1]), ("", "http/protobuf"))
    if protocol != "http/protobuf":
        return f"{variable} has no effect: {name} is {protocol}, and only http/protobuf (usually port 4318) is spoken"
    if not all(_is_installed(each) for each in _NEEDED):
        return f"{variable} has no effect: the extra otel is not installed (pip install 'policy-server[otel]')"
    return None


def _asked(environ: Mapping[str, str]) -> str | None:
    """Return the variable that asks for traces."""
    if environ.get(_DISABLED, "").strip().lower() == "true" or environ.get(_EXPORTER, "").strip() == "none":
        return None
    return next((name for name in ENDPOINTS if environ.get(name, "").strip()), None)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of its parent
        return False
