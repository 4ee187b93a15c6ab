"""Modules: wasm that is compiled, checked, and ready to be instantiated."""

import hashlib
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
import wasmtime

from policy_server.model.errors import InvalidModule
from policy_server.wasm.cwasm import CompiledFiles
from policy_server.wasm.engine import Runtime, runtime
from policy_server.wasm.machine import IMPORTS, PAGE, VOID, BadAddress, Machine, OutOfMemory, Stopped

MAX_SIZE: Final = 64 << 20
"""Largest module that is taken, in bytes; OPA's own start at 134 KB."""

EXPORTS: Final[Mapping[str, tuple[int, int]]] = {
    "opa_eval": (7, 1),
    "opa_malloc": (1, 1),
    "opa_free": (1, 0),
    "opa_value_parse": (2, 1),
    "opa_value_dump": (1, 1),
    "opa_heap_ptr_get": (0, 1),
    "opa_heap_ptr_set": (1, 0),
    "builtins": (0, 1),
    "entrypoints": (0, 1),
}
"""Functions that every module must export: how many i32 they take and return."""

STASH: Final[Mapping[str, tuple[int, int]]] = {"opa_heap_blocks_stash": (0, 0), "opa_heap_stash_clear": (0, 0)}
"""Functions that came with minor version 3."""

PROBE_MEMORY: Final = 256 << 20
PROBE_SECONDS: Final = 5.0
LISTING: Final = 1 << 20


class Module:
    """A compiled policy; made by ModuleCache, shared by all its instances.

    ``entrypoints`` are ids by path in id order, ``builtins`` names by id,
    ``pages`` the memory it needs at least.
    """

    def __init__(self, native: wasmtime.Module, digest: str, made_by: Runtime) -> None:
        """Check a compiled module and ask it what it offers; InvalidModule."""
        self.native = native
        self.digest = digest
        self.runtime = made_by
        self.pages = _check_imports(native)
        self.has_stash = _check_exports(native)
        self._abort = ""
        try:
            machine = made_by.machine(native, (self.pages, PROBE_MEMORY // PAGE), self._refuse, deadline=PROBE_SECONDS)
        except (Stopped, OutOfMemory) as error:
            raise InvalidModule(f"The module does not start: {str(error) or 'it needs too much memory'}") from error
        try:
            self.abi = _check_abi(machine)
            ids = _ids(machine, "builtins")
            self.entrypoints: Mapping[str, int] = dict(
                sorted(_ids(machine, "entrypoints").items(), key=lambda each: each[1])
            )
            self.builtins: Mapping[int, str] = {number: name for name, number in ids.items()}
        except (Stopped, BadAddress) as error:
            raise InvalidModule(f"The module does not say what it offers: {error}") from error
        finally:
            machine.close()

    def _refuse(self, which: int, _: tuple[int, ...]) -> int:
        raise Stopped("", f"it called {IMPORTS[which][0]} while it was loaded")


class ModuleCache:
    """Loads modules once: in memory while somebody uses them, on disk for the next start."""

    def __init__(self, cache: Path | None) -> None:
        """Take the directory for compiled modules; None keeps them in memory only."""
        self._files = CompiledFiles(cache)
        self._modules: weakref.WeakValueDictionary[str, Module] = weakref.WeakValueDictionary()
        self._loading: dict[str, threading.Lock] = {}

    def load(self, wasm: bytes, digest: str | None = None) -> Module:
        """Return the module for these bytes.

        Raises:
            InvalidModule: it is not wasm that OPA made for this ABI, or not the
                one with the given SHA-256.
        """
        actual = hashlib.sha256(wasm).hexdigest()
        if digest is not None and digest != actual:
            raise InvalidModule(f"The module has the digest {actual}, not {digest}.")
        found = self._modules.get(actual)
        if found is not None:
            return found
        with self._loading.setdefault(actual, threading.Lock()):
            found = self._modules.get(actual)
            try:
                if found is None:
                    found = self._modules[actual] = self._make(wasm, actual)
            finally:
                self._loading.pop(actual, None)
            return found

    def _make(self, wasm: bytes, digest: str) -> Module:
        made_by = runtime()
        kept = self._files.read(digest)
        if kept is not None:
            try:
                return Module(wasmtime.Module.deserialize(made_by.engine, kept), digest, made_by)
            except wasmtime.WasmtimeError:
                # Made on another machine with the same name: compile again.
                kept = None
        native = compile_wasm(made_by, wasm)
        module = Module(native, digest, made_by)
        self._files.write(digest, native.serialize())
        return module


def compile_wasm(made_by: Runtime, wasm: bytes) -> wasmtime.Module:
    """Compile; InvalidModule."""
    # wasmtime would take anything that does not begin like this for the text format.
    if not wasm.startswith(b"\0asm"):
        raise InvalidModule("This is not WebAssembly.")
    if len(wasm) > MAX_SIZE:
        raise InvalidModule(f"The module has {len(wasm)} bytes; {MAX_SIZE} are allowed.")
    try:
        return wasmtime.Module(made_by.engine, wasm)
    except wasmtime.WasmtimeError as error:
        raise InvalidModule(f"The module is not valid WebAssembly: {str(error).splitlines()[0]}") from error


def _check_imports(native: wasmtime.Module) -> int:
    allowed = dict(IMPORTS)
    results = {name: int(which >= VOID) for which, (name, _) in enumerate(IMPORTS)}
    pages = None
    for each in native.imports:
        kind, name = each.type, str(each.name)
        if each.module == "env" and name == "memory" and isinstance(kind, wasmtime.MemoryType):
            pages = kind.limits.min
        elif each.module != "env" or name not in allowed or _shape(kind) != (allowed[name], results[name]):
            raise InvalidModule(f"The module needs {each.module}.{name}, which is not part of OPA's ABI.")
    if pages is None:
        raise InvalidModule("The module does not import its memory; OPA's do.")
    return pages


def _check_exports(native: wasmtime.Module) -> bool:
    # SECURITY: the fast way of calling checks no signature, so this has to.
    found = {each.name: _shape(each.type) for each in native.exports}
    for name, shape in EXPORTS.items():
        if found.get(name) != shape:
            raise InvalidModule(f"The module has no function {name} as OPA's ABI wants it.")
    return all(found.get(name) == shape for name, shape in STASH.items())


def _shape(kind: object) -> tuple[int, int] | None:
    if not isinstance(kind, wasmtime.FuncType):
        return None
    i32 = wasmtime.ValType.i32()
    if any(each != i32 for each in (*kind.params, *kind.results)):
        return None
    return len(kind.params), len(kind.results)


def _check_abi(machine: Machine) -> tuple[int, int]:
    major, minor = machine.global_value("opa_wasm_abi_version"), machine.global_value("opa_wasm_abi_minor_version")
    if major != 1 or minor is None or minor < 2:
        raise InvalidModule(f"The module has ABI version {major}.{minor}; 1.2 and later 1.x can be run.")
    return major, minor


def _ids(machine: Machine, name: str) -> dict[str, int]:
    text = machine.text(machine.function("opa_value_dump")(machine.function(name)()), LISTING)
    try:
        found = orjson.loads(text or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidModule(f"The module's list of {name} cannot be read.") from error
    if not isinstance(found, dict) or not all(isinstance(each, int) for each in found.values()):
        raise InvalidModule(f"The module's list of {name} cannot be read.")
    return found
