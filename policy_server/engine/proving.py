"""Compiles, and proves that the outcome loads here."""

from collections.abc import Callable

from policy_server.engine.policy import Policy
from policy_server.model.errors import InvalidSource, LoadError
from policy_server.model.policy import CompiledPolicy, PolicySource
from policy_server.ports import Compiler


class ProvingCompiler:
    """A compiler whose output was loaded once; what can fail at publish must not fail in a call.

    Loading also leaves the native code in the module cache on disk, so that the
    workers that swap to the new revision find it there.
    """

    def __init__(self, compiler: Compiler, load: Callable[[bytes], Policy]) -> None:
        """Take the compiler to ask, and what makes a runnable policy of its output."""
        self._compiler = compiler
        self._load = load

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile and load.

        Raises:
            CompileError: the Rego is wrong.
            CompileLimit: the compiler ran out of time or memory.
            InvalidSource: package and path disagree, or the module does not load here.
            ToolkitError: the toolkit is missing or broke.
        """
        compiled = self._compiler.compile(source)
        try:
            self._load(compiled.wasm).close()
        except LoadError as error:
            raise InvalidSource(
                f"the compiled policy does not load: {error.message}", problems=error.problems
            ) from error
        return compiled
