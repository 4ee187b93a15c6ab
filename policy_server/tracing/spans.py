"""Spans: what is done, from when to when, as a part of which trace.

Nothing here knows OpenTelemetry. ``tracer`` is None unless a worker was told to record traces, and then nothing is
measured and nothing kept.

SECURITY: a span has names, numbers and ids. No input, no result, no query, no path and no message of an error goes into
one: all of them can hold what the caller said, or secrets.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Final, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

from policy_server.model.errors import BuiltinFailed, PolicyServerError
from policy_server.tracing.trace import Trace, here

P = ParamSpec("P")
R = TypeVar("R")

Value = str | bool | int | float
STATUS: Final = "http.response.status_code"
_LONGEST_HOST: Final = 255
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Kind(Enum):
    """Whether a span answers somebody, asks somebody, or neither."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """Something that is being done."""

    @property
    def trace(self) -> Trace:
        """The place in the trace."""
        ...

    def set(self, name: str, value: Value) -> None:
        """Note a fact."""

    def rename(self, name: str) -> None:
        """Give it a better name than the first."""

    def fail(self, why: str) -> None:
        """Note that it failed; ``why`` is one of few words."""

    def end(self) -> None:
        """Note that it is over."""


class Tracer(Protocol):
    """Records spans."""

    def begin(self, name: str, kind: Kind, attributes: Mapping[str, Value], parent: Trace | None) -> Span:
        """Begin a span; without a parent it is the first of a new trace."""
        ...


class _Nothing:
    """The span of what nobody records."""

    trace: Final = Trace("0" * 32, "0" * 16)

    def set(self, name: str, value: Value) -> None:
        """Forget it."""

    def rename(self, name: str) -> None:
        """Forget it."""

    def fail(self, why: str) -> None:
        """Forget it."""

    def end(self) -> None:
        """Do nothing."""


NOTHING: Final[Span] = _Nothing()
_NOWHERE: Final = nullcontext(NOTHING)
_NO_ATTRIBUTES: Final[Mapping[str, Value]] = {}

tracer: Tracer | None = None
"""Who records this process's spans; set once, before the process answers anybody."""


def recorded() -> bool:
    """Tell whether spans are recorded here.

    PERF: the parts of what is not sampled need no spans of their own, which cost as much as those that are not sent.
    """
    place = here.get()
    return tracer is not None and (place is None or place.span is None or place.sampled)


def span(
    name: str, attributes: Mapping[str, Value] = _NO_ATTRIBUTES, kind: Kind = Kind.INTERNAL
) -> AbstractContextManager[Span]:
    """Do something as a span of the current trace, or of a new one; what is raised inside marks it as failed."""
    return _NOWHERE if tracer is None or not recorded() else _span(tracer, name, attributes, kind)


@contextmanager
def _span(by: Tracer, name: str, attributes: Mapping[str, Value], kind: Kind) -> Iterator[Span]:
    begun = by.begin(name, kind, attributes, here.get())
    before = here.set(begun.trace)
    try:
        yield begun
    except BaseException as error:
        begun.fail(why(error))
        raise
    finally:
        here.reset(before)
        begun.end()


def asking(method: str, url: str) -> AbstractContextManager[Span]:
    """Ask another server as a part of the current trace; outside of any it is not worth a trace of its own."""
    if tracer is None or here.get() is None or not recorded():
        return _NOWHERE
    method, name = known(method)
    attributes: dict[str, Value] = {"http.request.method": method}
    try:
        parts = urlsplit(url)
        # A text that cannot be written as UTF-8 would cost the whole batch it is in.
        host = (parts.hostname or "")[:_LONGEST_HOST].encode(errors="replace").decode()
        attributes |= {"url.scheme": parts.scheme, "server.address": host}
        attributes["server.port"] = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        pass  # whoever sends it says what is wrong with it
    return _span(tracer, name, attributes, Kind.CLIENT)


def known(method: str) -> tuple[str, str]:
    """Return what a span says of a method, and how it is called; callers can make up methods."""
    return (method, method) if method in _METHODS else ("_OTHER", "HTTP")


def answered(begun: Span, status: int, *, bad: int) -> None:
    """Note the status of an answer; from ``bad`` on it is a failure."""
    begun.set(STATUS, status)
    if status >= bad:
        begun.fail(str(status))


def around(name: str, function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, each call of which is a span; the very same function where nothing is recorded."""
    if tracer is None:
        return function

    def spanned(*args: P.args, **kwargs: P.kwargs) -> R:
        with span(name):
            return function(*args, **kwargs)

    return spanned


def why(error: BaseException) -> str:
    """Return the one word for an error that a span may have."""
    if isinstance(error, BuiltinFailed) and error.code:
        return error.code
    return error.slug if isinstance(error, PolicyServerError) else type(error).__name__
