"""Proves that what is about to be published loads here."""

from collections.abc import Callable

from policy_server.engine.policy import Policy
from policy_server.model.errors import EvaluationError, InputError, InvalidSource, LoadError


class Proof:
    """Loads a module with its data once: what can fail at publish must not fail in a call.

    Loading also leaves the native code in the module cache on disk, so that the
    workers that swap to the new revision find it there.
    """

    def __init__(self, load: Callable[[bytes, str | None], Policy]) -> None:
        """Take what makes a runnable policy."""
        self._load = load

    def __call__(self, wasm: bytes, data: str | None) -> None:
        """Load and let go; InvalidSource when it does not load."""
        try:
            self._load(wasm, data).close()
        except LoadError as error:
            raise InvalidSource(
                f"the compiled policy does not load: {error.message}", problems=error.problems
            ) from error
        except (InputError, EvaluationError) as error:
            raise InvalidSource(f"the policy does not load with its data: {error.message}") from error
