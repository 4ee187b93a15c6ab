"""What became of a test: on OPA's interpreter, and in this product's WebAssembly runtime."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Status(StrEnum):
    """How a test ended; ``n/a`` means that it cannot be run there, with the reason told."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"
    UNAVAILABLE = "n/a"


BAD = frozenset({Status.FAIL, Status.ERROR})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test ended in one place; ``reason`` says why it did not pass, ``output`` is what it printed."""

    status: Status
    duration_ns: int = 0
    output: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a test that has several; ``name`` is its key, nested keys joined by slashes."""

    name: str
    interpreter: Status
    wasm: Status


@dataclass(frozen=True, slots=True)
class Trial:
    """One test, in both places."""

    package: str
    name: str
    file: str
    row: int
    col: int
    interpreter: Verdict
    wasm: Verdict
    cases: tuple[Case, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether both say the same, or only one can say anything."""
        if self.wasm.status is Status.UNAVAILABLE:
            return True
        return self.interpreter.status is self.wasm.status and all(case.interpreter is case.wasm for case in self.cases)

    @property
    def is_good(self) -> bool:
        """Whether nothing failed and both agree."""
        return not BAD.intersection((self.interpreter.status, self.wasm.status)) and self.agrees

    def judged(self, wasm: Verdict, cases: tuple[Case, ...] = ()) -> "Trial":
        """Return the same test with the verdict of WebAssembly."""
        return replace(self, wasm=wasm, cases=cases or self.cases)
