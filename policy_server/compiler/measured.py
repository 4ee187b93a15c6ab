"""A compiler whose work is timed, for metrics and traces."""

import time
from collections.abc import Callable

from policy_server.model.policy import CompiledPolicy, PolicySource
from policy_server.ports import Compiler
from policy_server.tracing.spans import span, why

Seen = Callable[[float, str | None], None]
"""Hears of a compilation: its time in seconds, and the slug of the error it ended with."""


class MeasuredCompiler:
    """Compiles as another one does, and says how long it took and what went wrong."""

    def __init__(self, compiler: Compiler, seen: Seen, *, timer: Callable[[], float] = time.monotonic) -> None:
        """Take who compiles and who wants to know."""
        self._compiler = compiler
        self._seen = seen
        self._timer = timer

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile; raises as the other one does."""
        began = self._timer()
        failure: str | None = None
        try:
            with span("policy.compile", {"policy.id": str(source.id)}):
                return self._compiler.compile(source)
        except Exception as error:
            failure = why(error)
            raise
        finally:
            self._seen(self._timer() - began, failure)
