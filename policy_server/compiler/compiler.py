"""Rego text to a compiled policy and its manifest, through the toolkit."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn, TypeVar, cast
from urllib.parse import quote

from policy_server.model.errors import CompileError, Problem, WrongPackage
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicyId, PolicySource
from policy_server.model.values import JsonObject
from policy_server.toolkit.toolkit import Toolkit

T = TypeVar("T")

FILE = "policy.rego"
"""The name a source has inside the compiler; fixed, because conflict errors in the module carry it."""

_PRODUCT_RULES = ("decision", "explain")


class RegoCompiler:
    """Compiles with OPA's capabilities plus the builtins declared here, so that an unknown one is an error.

    ``declarations`` are entries of OPA's capabilities: name, decl, nondeterministic.
    ``unavailable`` are functions of OPA that nobody here answers: calling one is an error too.
    """

    def __init__(self, toolkit: Toolkit, declarations: Sequence[JsonObject], unavailable: Collection[str] = ()) -> None:
        self._toolkit = toolkit
        self._declarations = tuple(declarations)
        self._unavailable = frozenset(unavailable)
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
            WrongPackage: the package is neither the one that the path demands nor below it.
            CompileLimit: time or memory ran out.
            ToolkitError: the toolkit is missing, wrong or broke.
        """
        return in_dialect(source.dialect, lambda dialect: self._compile(source, dialect))

    def _compile(self, source: PolicySource, dialect: Dialect) -> CompiledPolicy:
        modules = {FILE: source.rego}
        inspected = cast("Mapping[str, Mapping[str, JsonObject]]", self._toolkit.inspect(modules, dialect=dialect))
        file = inspected["files"][FILE]
        entrypoints = entrypoints_of(source.id, file)
        if not file["rules"]:
            raise _no_rules(file)
        built = self._toolkit.make(modules, entrypoints, dialect=dialect, builtins=self._declarations)
        if not self._unavailable.isdisjoint(built.builtins):
            self._refuse(modules, dialect, self._unavailable.intersection(built.builtins))
        manifest = Manifest(
            digest=hashlib.sha256(built.wasm).hexdigest(),
            source_digest=hashlib.sha256(source.rego.encode(errors="surrogatepass")).hexdigest(),
            opa_version=self._opa(),
            dialect=dialect,
            entrypoints=built.entrypoints,
            builtins=tuple(sorted(built.builtins)),
        )
        return CompiledPolicy(built.wasm, manifest)

    def _refuse(self, modules: Mapping[str, str], dialect: Dialect, called: Collection[str]) -> NoReturn:
        """Raise CompileError at the places that call what nobody answers; OPA finds them."""
        able = cast("dict[str, Sequence[JsonObject]]", self._toolkit.capabilities())
        able["builtins"] = [each for each in able["builtins"] if each["name"] not in self._unavailable]
        self._toolkit.check(modules, dialect=dialect, capabilities=able, builtins=self._declarations)
        raise CompileError(f"This server does not have {', '.join(sorted(called))}.")

    def _opa(self) -> str:
        if not self._opa_version:
            self._opa_version = self._toolkit.version()["opa"]
        return self._opa_version


def in_dialect(dialect: Dialect, work: Callable[[Dialect], T]) -> T:
    """Do work in a dialect; with AUTO in v1, then in v0, raising the error of v1 when both fail."""
    if dialect is not Dialect.AUTO:
        return work(dialect)
    try:
        return work(Dialect.V1)
    except CompileError:
        try:
            return work(Dialect.V0)
        except CompileError:
            pass
        raise


def entrypoints_of(policy: PolicyId, file: JsonObject) -> list[str]:
    """Return the package document and the rules ``decision`` and ``explain`` where they exist.

    Of a file whose package lies below the policy's, it is the document of the policy's alone.

    Raises:
        WrongPackage: the package is neither the one that the path demands nor below it.
    """
    parts = cast("Sequence[str]", file["package"])
    rules = cast("Sequence[JsonObject]", file["rules"])
    own = _own(policy, file)
    package = "/".join(quote(part, safe="") for part in own)
    named = {cast("Sequence[str]", rule["path"])[0] for rule in rules if not rule["function"]}
    wanted = _PRODUCT_RULES if len(own) == len(parts) else ()
    return [package, *(f"{package}/{name}" for name in wanted if name in named)]


def _own(policy: PolicyId, file: JsonObject) -> Sequence[str]:
    """Return the parts of the policy's package; WrongPackage, naming both, when the file lies elsewhere."""
    parts = cast("Sequence[str]", file["package"])
    # COMPAT: the policy service answers the document of this package, and the packages below it are part of that.
    for depth in range(1, len(parts) + 1):
        if ".".join(parts[:depth]) == policy.package:
            return parts[:depth]
    message = f"The package is {'.'.join(parts)}, but the path {policy.group}/{policy.name} demands {policy.package}."
    problem = _at_package(file, FILE, message, "package")
    raise WrongPackage(str(problem), problems=[problem])


def _no_rules(file: JsonObject) -> CompileError:
    problem = _at_package(file, FILE, "The package has no rules, so there is nothing to answer.", "rego_compile_error")
    return CompileError(str(problem), problems=[problem])


def _at_package(file: JsonObject, name: str, message: str, code: str) -> Problem:
    return Problem(message, file=name, line=cast("int", file["row"]), column=cast("int", file["col"]), code=code)


def relocated(problems: Sequence[Problem], path: str) -> list[Problem]:
    """Give problems of a compiled source the path that its author knows it by."""
    return [replace(problem, file=path) if problem.file == FILE else problem for problem in problems]
