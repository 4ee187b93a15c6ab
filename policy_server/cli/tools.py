"""Gives commands the toolkit, the builtins and the sources they work on."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from policy_server.builtins.call import Call
from policy_server.builtins.network import settled_registry
from policy_server.builtins.registry import Registry
from policy_server.cli.output import Progress
from policy_server.compiler.compiler import RegoCompiler
from policy_server.engine.policy import Policy
from policy_server.extending import extensions
from policy_server.model.errors import CompileError, InvalidSource
from policy_server.model.policy import Dialect, PolicyFilter, PolicyId, PolicySource
from policy_server.model.values import JsonObject
from policy_server.ports import PolicyStore
from policy_server.settings import Settings
from policy_server.storage.memory import MemoryStore
from policy_server.toolkit.instance import HostCall
from policy_server.toolkit.location import bundled_root, find_toolkit
from policy_server.toolkit.toolkit import Toolkit
from policy_server.wasm.module import ModuleCache

if TYPE_CHECKING:
    from policy_server.assembly import Assembly


def functions_of(settings: Settings, toolkit: Toolkit) -> Registry:
    """Return the functions that policies may call with these settings.

    What they keep is kept in memory, until the command ends: trying a policy never changes the store.
    """
    made = extensions(settings, values=_store().values, cache=_store().cache)
    return settled_registry(settings.network, settings.runtime_variables, toolkit, made=made)


@cache
def _store() -> MemoryStore:
    return MemoryStore()


def rego_compiler(settings: Settings, toolkit: Toolkit) -> RegoCompiler:
    """Return the compiler with the functions this product answers, and without those nobody answers."""
    functions = functions_of(settings, toolkit)
    return RegoCompiler(toolkit, functions.declarations(), functions.unavailable())


def open_toolkit(settings: Settings) -> Toolkit:
    """Return the toolkit the settings name; it loads at its first use."""
    return Toolkit(
        find_toolkit(settings.toolkit) or bundled_root() / "compiled" / "opa-toolkit.wasm",
        cache=settings.cache_dir / "toolkit",
        memory_limit=settings.toolkit_memory,
        deadline=settings.toolkit_deadline,
    )


def ready_toolkit(settings: Settings) -> Toolkit:
    """Return the toolkit, loaded; whoever waits for its first compilation sees why."""
    toolkit = open_toolkit(settings)
    progress = Progress()
    toolkit.prepare(progress)
    progress.done()
    return toolkit


def rego_files(paths: Sequence[Path]) -> list[Path]:
    """Return the Rego files under paths, sorted; InvalidSource when a path is not there or has none."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.rglob("*.rego")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise InvalidSource(f"{path} is no Rego file and no directory with Rego files.")
        found += [file for file in files if file not in found]
    return found


def units(paths: Sequence[Path]) -> Iterator[dict[str, str]]:
    """Yield what belongs together: the files of one directory, name → text.

    Versions of a policy lie in directories of their own and have the same
    package, so that a whole tree cannot be read as one.
    """
    by_directory: dict[Path, dict[str, str]] = {}
    for file in rego_files(paths):
        by_directory.setdefault(file.parent, {})[str(file)] = read_text(file)
    yield from by_directory.values()


def read_text(file: Path) -> str:
    """Read a text file; InvalidSource says which one cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSource(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidSource(f"{file} is not UTF-8 text (byte {error.start}).") from error


def read_data(unit: Mapping[str, str]) -> bytes | None:
    """Return data.json beside the files of a unit; None when there is none, InvalidSource when it is not JSON."""
    file = Path(next(iter(unit))).parent / "data.json"
    if not file.is_file():
        return None
    text = read_bytes(file)
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidSource(f"{file} is not JSON: {error}.") from error
    return text


def has_store(settings: Settings) -> bool:
    """Return whether there is a store already, or the settings name one."""
    return bool(settings.storage_url) or settings.database_file.is_file()


@contextmanager
def open_assembly(settings: Settings, *, writes: bool = False) -> Iterator["Assembly"]:
    """Yield the parts of a server on the local store, without its threads.

    Where no server has made a store yet, who only reads is shown what one
    would start with: the bundled policies, in memory.
    """
    # PERF: half a second, which commands that only compile need not wait for.
    from policy_server.assembly import assemble

    if not (writes or has_store(settings)):
        settings = replace(settings, storage_url="memory:", workers=1)
    assembly = assemble(settings)
    try:
        if settings.storage_url == "memory:" and settings.bundled:
            assembly.bundled.seed()
        yield assembly
    finally:
        assembly.close()


def host_functions(settings: Settings, toolkit: Toolkit) -> tuple[tuple[JsonObject, ...], HostCall]:
    """Return what OPA's interpreter needs to call our functions: their declarations, and who answers."""
    registry = functions_of(settings, toolkit)
    call = Call({}, time.time_ns(), time.monotonic() + settings.toolkit_deadline)
    return registry.declarations(), registry.host(call)


@dataclass(frozen=True, slots=True)
class PolicyModule:
    """A module, and the Rego it was made of where that is known."""

    wasm: bytes = field(repr=False)
    rego: str | None = None
    dialect: Dialect = Dialect.AUTO


def policy_module(settings: Settings, toolkit: Toolkit, policy: Path) -> PolicyModule:
    """Return the module of a policy: a .wasm file as it is, Rego compiled under the package it has."""
    if policy.suffix == ".wasm":
        return PolicyModule(read_bytes(policy))
    file = policy / "policy.rego" if policy.is_dir() else policy
    text = read_text(file)
    group, _, name = _package(toolkit, text, str(file)).rpartition(".")
    source = PolicySource(PolicyId("local", group, name, "0"), text, origin=str(file))
    made = rego_compiler(settings, toolkit).compile(source)
    return PolicyModule(made.wasm, text, made.manifest.dialect)


def _package(toolkit: Toolkit, text: str, file: str) -> str:
    """Return the package of a source, so that any policy can be tried wherever it lies."""
    for dialect in (Dialect.V1, Dialect.V0):
        try:
            answer = toolkit.inspect({file: text}, dialect=dialect)
        except CompileError:
            if dialect is Dialect.V0:
                raise
            continue
        return ".".join(cast(Mapping[str, Mapping[str, Mapping[str, list[str]]]], answer)["files"][file]["package"])
    raise AssertionError(file)


def policy_data(policy: Path, data: Path | None) -> bytes | None:
    """Return the data document: the one that is named, or data.json beside the policy."""
    if data is None:
        beside = (policy if policy.is_dir() else policy.parent) / "data.json"
        data = beside if beside.is_file() else None
    return None if data is None else read_bytes(data)


def ready_policy(
    settings: Settings,
    wasm: bytes,
    data: bytes | None,
    *,
    toolkit: Toolkit | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> Policy:
    """Load a module with its data, with the limits of the settings."""
    return Policy.load(
        wasm,
        data=data,
        modules=ModuleCache(settings.cache_dir / "modules"),
        registry=functions_of(settings, toolkit or open_toolkit(settings)),
        memory_limit=settings.evaluation_memory,
        deadline=settings.evaluation_deadline,
        size=1,
        clock=clock,
    )


def read_bytes(file: Path) -> bytes:
    """Read a file; InvalidSource says which one cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidSource(f"{file} cannot be read: {error.strerror}.") from error


def all_policies(store: PolicyStore) -> list[PolicyId]:
    """Return the ids of all policies in the store."""
    found: list[PolicyId] = []
    cursor = None
    while True:
        page = store.find(PolicyFilter(), limit=500, cursor=cursor)
        found += [record.id for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found
