"""Tests in this product's WebAssembly runtime: each test rule is an entrypoint of one module."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, cast

from policy_server.authoring.interpreter import Unit
from policy_server.authoring.verdict import Case, Status, Trial, Verdict
from policy_server.builtins.declare import ANY, Builtin
from policy_server.builtins.opa import TWINS
from policy_server.builtins.registry import Registry
from policy_server.engine.policy import Policy
from policy_server.model.errors import PolicyServerError, PublishError, ToolkitError, UnknownBuiltin
from policy_server.model.values import Json
from policy_server.toolkit.requests import BuiltTest, BuiltTests
from policy_server.toolkit.toolkit import Toolkit

Place = tuple[str, int, int]

Load = Callable[[bytes, bytes | None, Registry], Policy]
"""Loads a module with its data and the functions it calls."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """WebAssembly as the server runs it; ``load`` sets its limits, ``deadline`` is for each test, in seconds.

    What it cannot do is told as ``n/a``: rules with arguments, functions that this server does not
    have (a test that replaces them by ``with`` runs), and what OPA does not compile to WebAssembly.
    """

    toolkit: Toolkit
    registry: Registry
    load: Load
    deadline: float

    def run(self, unit: Unit, trials: Sequence[Trial]) -> list[Trial]:
        """Run the tests that the interpreter ran, and judge them.

        Raises:
            ToolkitError: the toolkit is missing, wrong or broke.
        """
        wanted = [trial for trial in trials if trial.wasm.status is Status.UNAVAILABLE]
        judged: dict[Place, list[Trial]] = {}
        for trial in self._judge(unit, wanted) if wanted else ():
            judged.setdefault(_place(trial), []).append(trial)
        return [judged[_place(trial)].pop(0) if _place(trial) in judged else trial for trial in trials]

    def _judge(self, unit: Unit, wanted: Sequence[Trial]) -> Iterator[Trial]:
        try:
            built = self._build(unit, wanted)
        except PublishError as error:
            if len(wanted) == 1:
                yield wanted[0].judged(_unavailable(f"OPA does not compile it to WebAssembly: {error.message}"))
                return
            # One test must not keep the others from being run: each is compiled alone.
            for trial in wanted:
                yield from self._judge(unit, [trial])
            return
        yield from self._run_all(unit, built, wanted)

    def _build(self, unit: Unit, wanted: Iterable[Trial]) -> BuiltTests:
        places = [_place(trial) for trial in wanted]
        ours = self.registry.declarations()
        return self.toolkit.make_tests(unit.modules, dialect=unit.dialect, only=places, builtins=ours)

    def _run_all(self, unit: Unit, built: BuiltTests, wanted: Sequence[Trial]) -> Iterator[Trial]:
        tests: dict[Place, list[BuiltTest]] = {}
        for test in built.tests:
            tests.setdefault((test.file, test.row, test.col), []).append(test)
        policy = failure = None
        if built.wasm:
            try:
                policy = self.load(built.wasm, unit.data, with_absent(self.registry, built.builtins, self.toolkit))
            except PolicyServerError as error:
                failure = Verdict(Status.ERROR, reason=error.message)
        try:
            for trial in wanted:
                test = tests[_place(trial)].pop(0)
                if test.reason:
                    yield trial.judged(_unavailable(test.reason))
                elif policy is None:
                    yield trial.judged(failure or _unavailable("there is no module"))
                else:
                    yield self._run_one(policy, test, trial)
        finally:
            if policy is not None:
                policy.close()

    def _run_one(self, policy: Policy, test: BuiltTest, trial: Trial) -> Trial:
        printed: list[str] = []
        value = None
        since = time.perf_counter_ns()
        try:
            value = policy.evaluate_json(entrypoint=test.entrypoint, printed=printed, deadline=self.deadline)
            status, reason = Status.PASS if value == b"true" else Status.FAIL, ""
        except UnknownBuiltin as error:
            status, reason = Status.UNAVAILABLE, error.message
        except ToolkitError:
            raise
        except PolicyServerError as error:
            status, reason = Status.ERROR, error.message
        verdict = Verdict(status, time.perf_counter_ns() - since, tuple(printed), reason)
        if not test.cases or status not in {Status.PASS, Status.FAIL}:
            return trial.judged(verdict)
        return _with_cases(trial, verdict, value)


def _place(trial: Trial) -> Place:
    return (trial.file, trial.row, trial.col)


def _unavailable(reason: str) -> Verdict:
    return Verdict(Status.UNAVAILABLE, reason=reason)


def _with_cases(trial: Trial, verdict: Verdict, value: bytes | None) -> Trial:
    """Judge by cases: only those that pass are in the value, so their names come from the interpreter, too."""
    passing = set() if value is None else {name for name, good in _leaves(json.loads(value), ()) if good}
    known = {case.name: case.interpreter for case in trial.cases}
    cases = tuple(
        Case(name, known.get(name, Status.FAIL), Status.PASS if name in passing else Status.FAIL)
        for name in sorted({*known, *passing})
    )
    good = value is not None and all(case.wasm is Status.PASS for case in cases)
    return trial.judged(replace(verdict, status=Status.PASS if good else Status.FAIL), cases)


def _leaves(value: Json, path: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _leaves(member, (*path, key))
    elif path:
        yield "/".join(path), value is True or value == {}


def with_absent(registry: Registry, needed: Sequence[str], toolkit: Toolkit) -> Registry:
    """Return the functions, and for each that is needed and not there one that says so when it is called."""
    known = registry.names() | TWINS
    absent = [Builtin(name, (), ANY, _absent(name)) for name in needed if name not in known]
    return Registry((*registry.builtins(), *absent), toolkit) if absent else registry


def _absent(name: str) -> Callable[..., Json]:
    def absent(*_: object) -> NoReturn:
        raise UnknownBuiltin(f"it calls {name}, which this server does not have")

    return cast("Callable[..., Json]", absent)
