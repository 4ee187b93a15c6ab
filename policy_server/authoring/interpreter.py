"""Tests on OPA's interpreter, in the toolkit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from policy_server.authoring.verdict import Case, Status, Trial, Verdict
from policy_server.model.policy import Dialect
from policy_server.model.values import Json, JsonObject
from policy_server.toolkit.instance import HostCall
from policy_server.toolkit.toolkit import Toolkit

NOT_RUN = Verdict(Status.UNAVAILABLE, reason="it was not run")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is tested together: modules by file name, their data as JSON text, and their dialect."""

    modules: Mapping[str, str]
    data: bytes | None = None
    dialect: Dialect = Dialect.V1


@dataclass(frozen=True, slots=True)
class Interpreter:
    """OPA's interpreter with the functions of this product."""

    toolkit: Toolkit
    declarations: tuple[JsonObject, ...]
    host: HostCall

    def run(self, unit: Unit, *, run: str = "", coverage: bool = False) -> tuple[list[Trial], JsonObject | None]:
        """Run the tests whose full name fits the expression; return them by place, and OPA's coverage report.

        Raises:
            CompileError: the modules do not compile.
            EvaluationError, ToolkitError: the tests could not be finished.
        """
        answer = self.toolkit.test(
            unit.modules,
            data=unit.data,
            dialect=unit.dialect,
            coverage=coverage,
            run=run,
            builtins=self.declarations,
            host=self.host,
        )
        said = cast("Mapping[str, Json]", answer)
        trials = [_trial(each) for each in cast("Sequence[JsonObject]", said["results"])]
        return trials, cast("JsonObject | None", said.get("coverage"))


def _trial(said: JsonObject) -> Trial:
    status = Status(str(said["status"]))
    duration = cast("int", said["duration_ns"])
    output = tuple(str(said.get("output") or "").splitlines())
    return Trial(
        package=str(said["package"]).removeprefix("data."),
        name=str(said["name"]),
        file=str(said["file"]),
        row=cast("int", said["row"]),
        col=cast("int", said["col"]),
        interpreter=Verdict(status, duration, output, _reason(said)),
        wasm=Verdict(Status.SKIP) if status is Status.SKIP else NOT_RUN,
        cases=tuple(_case(each) for each in cast("Sequence[JsonObject]", said.get("cases") or ())),
    )


def _reason(said: JsonObject) -> str:
    problems = cast("Sequence[JsonObject]", said.get("problems") or ())
    return "; ".join(str(problem["message"]) for problem in problems)


def _case(said: JsonObject) -> Case:
    status = Status.FAIL if said["fail"] else Status.PASS
    return Case("/".join(cast("Sequence[str]", said["path"])), status, Status.UNAVAILABLE)
