"""Rego text to a compiled policy and its manifest, through the toolkit."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast
from urllib.parse import quote

from policy_server.model.errors import CompileError, InvalidSource, Problem
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicySource
from policy_server.model.values import JsonObject
from policy_server.toolkit.toolkit import Toolkit

FILE = "policy.rego"
"""The name a source has inside the compiler; fixed, because conflict errors in the module carry it."""

_PRODUCT_RULES = ("decision", "explain")


class RegoCompiler:
    """Compiles with OPA's capabilities plus the builtins declared here, so that an unknown one is an error.

    ``declarations`` are entries of OPA's capabilities: name, decl, nondeterministic.
    """

    def __init__(self, toolkit: Toolkit, declarations: Sequence[JsonObject]) -> None:
        self._toolkit = toolkit
        self._declarations = tuple(declarations)
        self._opa_version = ""

    @property
    def toolkit(self) -> Toolkit:
        """The toolkit it works with."""
        return self._toolkit

    @property
    def declarations(self) -> tuple[JsonObject, ...]:
        """The builtins that policies may call besides OPA's own."""
        return self._declarations

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Compile; the same source gives the same bytes and the same manifest.

        Raises:
            CompileError: the Rego does not compile; with dialect auto the errors are those of v1.
            InvalidSource: the package is not the one that the path demands.
            CompileLimit: time or memory ran out.
            ToolkitError: the toolkit is missing, wrong or broke.
        """
        if source.dialect is not Dialect.AUTO:
            return self._compile(source, source.dialect)
        try:
            return self._compile(source, Dialect.V1)
        except CompileError:
            try:
                return self._compile(source, Dialect.V0)
            except CompileError:
                pass
            raise

    def _compile(self, source: PolicySource, dialect: Dialect) -> CompiledPolicy:
        modules = {FILE: source.rego}
        inspected = cast("Mapping[str, Mapping[str, JsonObject]]", self._toolkit.inspect(modules, dialect=dialect))
        file = inspected["files"][FILE]
        _check_package(source, file)
        built = self._toolkit.make(modules, entrypoints_of(file), dialect=dialect, builtins=self._declarations)
        manifest = Manifest(
            digest=hashlib.sha256(built.wasm).hexdigest(),
            source_digest=hashlib.sha256(source.rego.encode()).hexdigest(),
            opa_version=self._opa(),
            dialect=dialect,
            entrypoints=built.entrypoints,
            builtins=tuple(sorted(built.builtins)),
        )
        return CompiledPolicy(built.wasm, manifest)

    def _opa(self) -> str:
        if not self._opa_version:
            self._opa_version = self._toolkit.version()["opa"]
        return self._opa_version


def entrypoints_of(file: JsonObject) -> list[str]:
    """Return the package document and the rules ``decision`` and ``explain`` where they exist."""
    parts = cast("Sequence[str]", file["package"])
    rules = cast("Sequence[JsonObject]", file["rules"])
    package = "/".join(quote(part, safe="") for part in parts)
    named = {cast("Sequence[str]", rule["path"])[0] for rule in rules if not rule["function"]}
    return [package, *(f"{package}/{name}" for name in _PRODUCT_RULES if name in named)]


def _check_package(source: PolicySource, file: JsonObject) -> None:
    found = ".".join(cast("Sequence[str]", file["package"]))
    wanted = source.id.package
    if found == wanted:
        return
    message = f"The package is {found}, but the path {source.id.group}/{source.id.name} demands {wanted}."
    problem = Problem(
        message=message,
        file=FILE,
        line=cast("int", file["row"]),
        column=cast("int", file["col"]),
        code="package",
    )
    raise InvalidSource(str(problem), problems=[problem])


def relocated(problems: Sequence[Problem], path: str) -> list[Problem]:
    """Give problems of a compiled source the path that its author knows it by."""
    return [replace(problem, file=path) if problem.file == FILE else problem for problem in problems]
