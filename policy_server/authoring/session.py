"""A conversation with OPA's interpreter: rules are remembered, expressions are answered."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from policy_server.authoring.asking import printed_of, value_of
from policy_server.authoring.statement import ARGUMENTS, Kind, Statement, read
from policy_server.model.errors import CompileError, InvalidParameter
from policy_server.model.policy import Dialect
from policy_server.model.values import UNDEFINED, Json, JsonObject, Undefined
from policy_server.toolkit.instance import HostCall
from policy_server.toolkit.toolkit import Toolkit

HELP: Final = """\
data.group.name          evaluate an expression; several are joined by ;
x := 1                   define a rule; a rule or function given by := is replaced by the next of its name
allow if input.user == "kari"
import data.group.name   use a name for what follows
package group.name       define and look for names in another package than repl
input = {"user": "kari"} set the input; data = {…} sets the data
:explain full            show OPA's trace of each evaluation: full, notes, fails or off
:show                    show what was defined
:unset NAME              forget the rules of a name, or the input
help, quit               also :help, :quit"""
LEVELS: Final = ("off", "full", "notes", "fails")
START: Final = "repl"

_ASSIGNED: Final = re.compile(rf"([A-Za-z_]\w*)\s*(?:{ARGUMENTS}\s*)?:=")
"""Finds the name of a rule or a function that := defines."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is shown: a value, or rows below columns, or plain lines; ``notes`` are the trace and what was printed."""

    lines: tuple[str, ...] = ()
    value: Json | Undefined = UNDEFINED
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    ends: bool = False


@dataclass(slots=True)
class _Package:
    imports: list[str] = field(default_factory=list)
    rules: list[tuple[str, str]] = field(default_factory=list)  # name and text


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a session starts with: modules by file name, data and input, and the functions of the host."""

    modules: Mapping[str, str]
    dialect: Dialect
    declarations: tuple[JsonObject, ...]
    host: Callable[[], HostCall]
    data: Json | bytes = None
    input: Json | Undefined | bytes = UNDEFINED


class Session:
    """Understands one statement after the other."""

    def __init__(self, toolkit: Toolkit, loaded: Loaded) -> None:
        """Take what is loaded; nothing is compiled yet."""
        self._toolkit = toolkit
        self._loaded = loaded
        self._data = loaded.data
        self._input = loaded.input
        self._package = START
        self._packages: dict[str, _Package] = {START: _Package()}
        self._level = "off"

    def check(self) -> None:
        """Compile everything that is loaded or was defined; CompileError."""
        self._check(self._packages)

    def enter(self, text: str) -> Reply:
        """Do what a statement says.

        Raises:
            CompileError: it is no Rego, or does not fit what is there; nothing has changed.
            EvaluationError: the evaluation failed.
            InvalidParameter: there is no such command, or not with that.
        """
        statement = read(text)
        try:
            return self._do(statement)
        except CompileError as error:
            # What a query does not bind is told twice by OPA: by its name, and as the value of the query.
            told = [problem for problem in error.problems if problem.message != "var _ is unsafe"]
            raise CompileError(error.message, problems=told or error.problems) from error

    def _do(self, statement: Statement) -> Reply:
        match statement.kind:
            case Kind.NOTHING:
                return Reply()
            case Kind.COMMAND:
                return self._command(statement)
            case Kind.PACKAGE:
                return self._enter_package(statement.text)
            case Kind.IMPORT:
                return self._import(statement.text)
            case Kind.SETTING:
                return self._set(statement)
            case Kind.RULE if self._parses(statement.text):
                return self._define(statement.text)
            case _:
                return self._ask(statement.text)

    def _command(self, statement: Statement) -> Reply:
        match statement.name, statement.text:
            case (("quit" | "q" | "exit"), ""):
                return Reply(ends=True)
            case "help", "":
                return Reply(lines=tuple(HELP.splitlines()))
            case "explain", level if level in LEVELS:
                self._level = level
                return Reply()
            case "show", "":
                return Reply(lines=tuple(self._shown()))
            case "unset", name if name:
                return self._unset(name)
        raise InvalidParameter(f":{statement.name} {statement.text}".strip() + " is no command; try help.")

    def _enter_package(self, name: str) -> Reply:
        fresh = {**self._packages, name: self._packages.get(name, _Package())}
        self._toolkit.parse(f"package {name}\n", dialect=self._loaded.dialect, name="repl")
        self._packages, self._package = fresh, name
        return Reply()

    def _import(self, what: str) -> Reply:
        own = self._packages[self._package]
        self._try(_Package([*own.imports, what], own.rules))
        return Reply()

    def _define(self, text: str) -> Reply:
        own = self._packages[self._package]
        assigned = _ASSIGNED.match(text)
        name = assigned[1] if assigned else text.split(maxsplit=1)[0]
        replaced = [
            (each, rule)
            for each, rule in own.rules
            if assigned is None or each != name or _ASSIGNED.match(rule) is None
        ]  # fmt: skip
        self._try(_Package(own.imports, [*replaced, (name, text)]))
        return Reply()

    def _unset(self, name: str) -> Reply:
        if name == "input":
            self._input = UNDEFINED
            return Reply()
        own = self._packages[self._package]
        kept = [
            (each, rule) for each, rule in own.rules if re.match(rf"(default\s+)?{re.escape(name)}\b", rule) is None
        ]
        if len(kept) == len(own.rules):
            raise InvalidParameter(f"Nothing was defined that is called {name}.")
        self._try(_Package(own.imports, kept))
        return Reply()

    def _set(self, statement: Statement) -> Reply:
        answer = self._evaluate(statement.text)
        value = value_of(answer)
        if value is UNDEFINED:
            raise InvalidParameter(f"{statement.text} is undefined, so {statement.name} stays as it is.")
        if statement.name == "input":
            self._input = value
        elif isinstance(value, dict):
            self._data = cast("Json", value)
        else:
            raise InvalidParameter("Data must be an object.")
        return Reply(notes=printed_of(answer))

    def _ask(self, query: str) -> Reply:
        answer = self._evaluate(query)
        notes = (*str(answer.get("trace_text") or "").splitlines(), *printed_of(answer))
        results = cast("Sequence[Mapping[str, Json]]", answer["result"])
        if not results:
            return Reply(lines=("undefined",), notes=notes)
        columns, rows = _table(results)
        if not columns:
            return Reply(value=value_of(answer), notes=notes)
        return Reply(columns=columns, rows=rows, notes=notes)

    def _evaluate(self, query: str) -> JsonObject:
        own = self._packages[self._package]
        return self._toolkit.eval(
            query,
            self._modules(self._packages),
            data=self._data,
            input=self._input,
            dialect=self._loaded.dialect,
            trace=self._level,
            package=self._package,
            imports=own.imports,
            builtins=self._loaded.declarations,
            host=self._loaded.host(),
        )

    def _parses(self, text: str) -> bool:
        try:
            self._toolkit.parse(f"package {START}\n\n{text}\n", dialect=self._loaded.dialect, name="repl")
        except CompileError:
            return False
        return True

    def _try(self, own: _Package) -> None:
        fresh = {**self._packages, self._package: own}
        self._check(fresh)
        self._packages = fresh

    def _check(self, packages: Mapping[str, _Package]) -> None:
        modules = self._modules(packages)
        if modules:
            self._toolkit.check(modules, dialect=self._loaded.dialect, builtins=self._loaded.declarations)

    def _modules(self, packages: Mapping[str, _Package]) -> dict[str, str]:
        ours = {f"repl/{name}.rego": _written(name, own) for name, own in packages.items() if own.rules or own.imports}
        return {**self._loaded.modules, **ours}

    def _shown(self) -> list[str]:
        texts = [_written(name, own) for name, own in self._packages.items() if own.rules or own.imports]
        if self._input is not UNDEFINED:
            given = self._input
            texts.append(f"input = {given.decode() if isinstance(given, bytes) else json.dumps(given)}")
        return [line for text in texts for line in text.splitlines()]


def _written(name: str, own: _Package) -> str:
    imports = "".join(f"import {each}\n" for each in own.imports)
    return "\n".join([f"package {name}\n", imports, *(f"{rule}\n" for _, rule in own.rules)])


def _table(results: Sequence[Mapping[str, Json]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the variables of a query, and the expressions with another value than true, with their values.

    No columns mean that one value says it all.
    """
    bound = [cast("Mapping[str, Json]", each.get("bindings") or {}) for each in results]
    told = [cast("Sequence[Mapping[str, Json]]", each["expressions"]) for each in results]
    names = sorted({name for each in bound for name in each})
    places = [index for index in range(len(told[0])) if any(each[index]["value"] is not True for each in told)]
    if not names and len(results) == 1 and len(told[0]) == 1:
        return (), ()
    columns = (*names, *(str(told[0][index]["text"]) for index in places))
    if not columns:
        return (), ()
    rows = tuple(
        (*(json.dumps(each.get(name), ensure_ascii=False) for name in names),
         *(json.dumps(expressions[index]["value"], ensure_ascii=False) for index in places))
        for each, expressions in zip(bound, told, strict=True)
    )  # fmt: skip
    return columns, rows
