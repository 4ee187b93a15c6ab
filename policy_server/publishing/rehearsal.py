"""Does everything that publishing would do, and keeps nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from policy_server.compiler.compiler import FILE
from policy_server.model.errors import EvaluationError, Problem, PublishError
from policy_server.model.policy import Dialect, Manifest, PolicySource
from policy_server.model.values import Json, JsonObject
from policy_server.ports import Compiler
from policy_server.publishing.checks import check_source, tidy
from policy_server.publishing.digest import DATA, revision_digest
from policy_server.publishing.document import invalid, read_object

MOST_TESTS: Final = 100
"""How many files of tests one rehearsal takes."""

TestRunner = Callable[[Mapping[str, str], Json, Dialect], JsonObject]
"""Runs the tests of modules in OPA's interpreter, with data: as the toolkit answers."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What publishing would have said.

    ``manifest`` is None when it does not compile; ``tests`` None when none were
    given or they could not be run. ``digest`` is that of the revision to be.
    """

    digest: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    manifest: Manifest | None = None
    tests: JsonObject | None = None

    @property
    def ok(self) -> bool:
        """Tell whether it would be published, and its tests pass."""
        failed = self.tests is not None and (self.tests["failed"] or self.tests["errored"])
        return not self.problems and not failed


class Rehearsal:
    """Checks a source, compiles it, loads it with its data, and runs tests."""

    def __init__(self, compiler: Compiler, prove: Callable[[bytes, str | None], None], run: TestRunner) -> None:
        """Take who compiles, who proves that it loads (InvalidSource), and who runs tests."""
        self._compiler = compiler
        self._prove = prove
        self._run = run

    def rehearse(self, source: PolicySource, tests: Mapping[str, str]) -> Rehearsed:
        """Try a source and the tests that belong to it, by file name.

        Raises:
            ToolkitError: the compiler is at fault, not the source.
        """
        source = tidy(source)
        digest = revision_digest(source, source.data)
        warnings: tuple[Problem, ...] = ()
        try:
            _check_names(tests)
            warnings = check_source(source)
            compiled = self._compiler.compile(source)
            self._prove(compiled.wasm, source.data)
        except PublishError as error:
            return Rehearsed(digest, _problems(error), warnings)
        if not tests:
            return Rehearsed(digest, (), warnings, compiled.manifest)
        data = read_object(source.data, file=DATA)[0] if source.data is not None else None
        try:
            answer = self._run({FILE: source.rego, **tests}, data, compiled.manifest.dialect)
        except (PublishError, EvaluationError) as error:
            return Rehearsed(digest, _problems(error), warnings, compiled.manifest)
        return Rehearsed(digest, (), warnings, compiled.manifest, answer)


def _check_names(tests: Mapping[str, str]) -> None:
    if len(tests) > MOST_TESTS:
        raise invalid(Problem(f"{len(tests)} files of tests were given; at most {MOST_TESTS} are taken"))
    if FILE in tests:
        raise invalid(Problem("a file of tests must have another name than the policy's", FILE))
    for name, text in tests.items():
        try:
            msgspec.json.encode((name, text))
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise invalid(Problem("not valid Unicode", "tests")) from error


def _problems(error: PublishError | EvaluationError) -> tuple[Problem, ...]:
    return tuple(error.problems) or (Problem(error.message, code=error.slug),)
