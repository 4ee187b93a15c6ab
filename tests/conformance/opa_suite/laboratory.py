"""Compiles cases together and asks each through the product's own way of evaluating."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opa_suite.cases import Case
from opa_suite.verdict import Kind, Verdict, judge
from policy_server.builtins.network import Network, network_functions
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import (
    BuiltinFailed,
    EvaluationTimeout,
    LoadError,
    PolicyServerError,
    PublishError,
    ToolkitError,
)
from policy_server.model.values import Json, JsonObject
from policy_server.settings import load_settings
from policy_server.toolkit.location import find_toolkit
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache

DEADLINE: Final = 10.0
"""Seconds for one evaluation; what takes longer never ends."""

COMPILING: Final = 120.0
"""Seconds for compiling one batch on a busy machine; two are usual."""

_DURATION: Final = re.compile(r"(\d+)ms")

Answer = bytes | PolicyServerError | None


def _declared(name: str, result: str, *args: str) -> JsonObject:
    decl: JsonObject = {"type": "function", "args": [{"type": each} for each in args], "result": {"type": result}}
    return {"name": name, "decl": decl}


DECLARATIONS: Final = (
    _declared("test.sleep", "null", "string"),
    _declared("custom_builtin_test", "number", "number"),
    _declared("custom_builtin_test_impure", "number"),
    _declared("custom_builtin_test_memoization", "number"),
)
"""Functions that OPA has in its tests only."""


SEMANTICS: Final = ("exact", "fast")
"""What a policy can say about itself: to answer as OPA's interpreter, or as OPA's WebAssembly does by itself."""

_FAST: Final = """# METADATA
# scope: package
# custom:
#   semantics: fast
package conformance_semantics
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended; ``raised`` tells whether an error of strict mode is raised where strictness is asked for."""

    case: Case
    kind: Kind
    detail: str = ""
    raised: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether the answer is OPA's."""
        return self.kind is Kind.PASS


class TestFunctions:
    """The functions of OPA's tests."""

    __test__ = False

    def __init__(self) -> None:
        self._asked = False

    def start(self) -> None:
        """Begin an evaluation."""
        self._asked = False

    def functions(self) -> Mapping[str, Callable[..., Json]]:
        """Return them by name."""
        return {
            "test.sleep": self._sleep,
            "custom_builtin_test": lambda number: number + 1,
            "custom_builtin_test_impure": lambda: "foo",
            "custom_builtin_test_memoization": self._once,
        }

    def _sleep(self, duration: str) -> None:
        found = _DURATION.fullmatch(duration)
        if found is None:
            raise BuiltinFailed(f"test.sleep does not know the duration {duration}")
        time.sleep(int(found[1]) / 1000)

    def _once(self) -> int:
        if self._asked:
            raise BuiltinFailed("asked twice, although rules are evaluated once")
        self._asked = True
        return 100


class Laboratory:
    """Runs batches; for one process and one thread."""

    def __init__(self, semantics: str = "exact") -> None:
        """Take the toolkit that set-up built; it loads at the first batch."""
        self._extra = {"semantics.rego": _FAST} if semantics == "fast" else {}
        found = find_toolkit()
        if found is None:
            raise ToolkitError("There is no toolkit: run scripts/setup.")
        self._toolkit = Toolkit(found, cache=load_settings().cache_dir / "toolkit", deadline=COMPILING)
        self._tests = TestFunctions()
        # Three cases want localhost's addresses; nothing else is asked of a network.
        network = Network(hosts=("localhost", "127.0.0.1", "::1"), networks=("127.0.0.0/8", "::1/128"))
        made = network_functions(network, self._toolkit, reason="")
        self._registry = Registry.discover(self._tests.functions(), made=made).bind(self._toolkit)
        self._modules = ModuleCache(None)

    def close(self) -> None:
        """Give the toolkit's memory back."""
        self._toolkit.close()

    def run(self, batch: Sequence[Case]) -> list[Outcome]:
        """Compile and judge cases; a batch that does not compile or load is halved until the culprit is alone."""
        try:
            policy = self._load(batch)
        except (PublishError, LoadError) as error:
            if len(batch) == 1:
                return [Outcome(batch[0], Kind.COMPILE, f"{type(error).__name__}: {error.message}")]
            half = len(batch) // 2
            return self.run(batch[:half]) + self.run(batch[half:])
        try:
            return [self._examine(policy, each) for each in batch]
        finally:
            policy.close()

    def _load(self, batch: Sequence[Case]) -> Policy:
        texts = {name: text for each in batch for name, text in each.modules.items()}
        entrypoints = [each.entrypoint for each in batch]
        wasm = self._toolkit.build(texts | self._extra, entrypoints, dialect=batch[0].dialect, builtins=DECLARATIONS)
        return Policy.load(wasm, modules=self._modules, registry=self._registry, deadline=DEADLINE, size=1)

    def _examine(self, policy: Policy, case: Case) -> Outcome:
        kind, detail = self._verdict(policy, case)
        raised = None
        if case.want.strict and case.want.result is None and kind is Kind.PASS:
            raised = isinstance(self._ask(policy, case, strict=True), BuiltinFailed)
        return Outcome(case, kind, detail, raised)

    def _verdict(self, policy: Policy, case: Case) -> Verdict:
        # Other data means other instances: the first and the third answer come from fresh ones.
        policy.set_data(case.data.encode())
        first = self._ask(policy, case)
        if isinstance(first, EvaluationTimeout):
            return judge(case.want, first)
        second = self._ask(policy, case)
        policy.set_data(case.data.encode())
        third = self._ask(policy, case)
        if not _text(first) == _text(second) == _text(third):
            return Kind.UNSTABLE, f"first {_text(first)}, then {_text(second)}, on another instance {_text(third)}"
        return judge(case.want, first)

    def _ask(self, policy: Policy, case: Case, *, strict: bool = False) -> Answer:
        self._tests.start()
        asked = None if case.input is None else case.input.encode()
        try:
            return policy.evaluate_json(asked, entrypoint=case.entrypoint, strict=strict)
        except ToolkitError:
            raise
        except PolicyServerError as error:
            return error


def _text(answer: Answer) -> str:
    if isinstance(answer, PolicyServerError):
        return f"{type(answer).__name__}: {answer.message}"
    return "undefined" if answer is None else answer.decode(errors="replace")
