"""The toolkit as native code of this machine, compiled once and kept in a cache."""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import lzma
import os
import platform
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import wasmtime

from policy_server.model.errors import ToolkitError, ToolkitMissing
from policy_server.toolkit.native import set_stack

Progress = Callable[[str], None]
"""Takes one line that says how far the work is."""

log = logging.getLogger(__name__)

_CONFIG = "epoch"
_WASM_MAGIC = b"\0asm"
_OLD = 24 * 3600
_NEWS_EVERY = 1.0


def make_engine(stack: int) -> wasmtime.Engine:
    """Make an engine that runs the toolkit; a change that changes the code needs a change of ``_CONFIG``."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    set_stack(config, stack)
    return wasmtime.Engine(config)


class MachineCode:
    """Loads the module from its cache, compiling when the cache has nothing that can be trusted.

    SECURITY: a cached file is native code. It is used only from a directory that
    is ours alone, and only with the digest that was recorded when we wrote it.
    """

    def __init__(self, module: Path, cache: Path) -> None:
        self._module = module
        self._cache = cache
        self._checked: tuple[Path, tuple[int, ...]] | None = None

    def load(self, engine: wasmtime.Engine, progress: Progress | None = None) -> wasmtime.Module:
        """Return the module; compiling takes 15 to 60 seconds, once a machine.

        Raises:
            ToolkitMissing: there is no such file.
            ToolkitError: the file is no toolkit, or the cache directory cannot be used.
        """
        again = self._again(engine)
        if again is not None:
            return again
        key = self._key()
        self._own_cache()
        target = self._cache / f"opa-toolkit-{key[:24]}.cwasm"
        found = self._trusted(engine, target, key)
        if found is not None:
            return found
        with _locked(self._cache / "opa-toolkit.lock"):
            # Another process may have been faster while we waited.
            found = self._trusted(engine, target, key)
            if found is not None:
                return found
            wasm = self._wasm()
            if progress is None:
                log.info(
                    "making machine code of OPA's toolkit, once; it takes 15 to 60 s, and new policies wait",
                    extra={"action": "toolkit.preparing"},
                )
            compiled = _compile(engine, wasm, progress or _silent)
            self._keep(target, key, compiled)
            if progress is None:
                log.info("OPA's toolkit is ready", extra={"action": "toolkit.prepared"})
            self._clean(target)
        # Mapped from the file, the code is shared between processes and costs no memory until it is used.
        return self._trusted(engine, target, key) or compiled

    def _again(self, engine: wasmtime.Engine) -> wasmtime.Module | None:
        # PERF: 2 ms instead of 110 for the second engine of a process; the file is the one whose digest was checked.
        if self._checked is None or _identity(self._checked[0]) != self._checked[1]:
            return None
        try:
            return wasmtime.Module.deserialize_file(engine, str(self._checked[0]))
        except wasmtime.WasmtimeError:
            return None

    def _trusted(self, engine: wasmtime.Engine, target: Path, key: str) -> wasmtime.Module | None:
        before = _identity(target)
        found = _trusted(engine, target, key)
        if found is not None:
            self._checked = (target, before)
        return found

    def digest(self) -> str:
        """Return the SHA-256 of the module in hex; ToolkitMissing, ToolkitError.

        That of a packed file is looked up in the record beside it, so that both
        share their machine code; without a fitting record it is the file's own.
        """
        try:
            with self._module.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return _unpacked(self._module, digest) if self._module.suffix == ".xz" else digest
        except FileNotFoundError as error:
            raise ToolkitMissing(f"OPA's toolkit is not at {self._module}; run scripts/setup.") from error
        except OSError as error:
            raise ToolkitError(f"OPA's toolkit at {self._module} cannot be read: {error.strerror}.") from error

    def _key(self) -> str:
        about = (self.digest(), importlib.metadata.version("wasmtime"), sys.platform, platform.machine(), _CONFIG)
        return hashlib.sha256("\n".join(about).encode()).hexdigest()

    def _wasm(self) -> bytes:
        wrong = f"{self._module} is not OPA's toolkit; run scripts/setup to build it again."
        try:
            data = self._module.read_bytes()
            if self._module.suffix == ".xz":
                data = lzma.decompress(data)
        except lzma.LZMAError as error:
            raise ToolkitError(wrong) from error
        if not data.startswith(_WASM_MAGIC):
            raise ToolkitError(wrong)
        return data

    def _own_cache(self) -> None:
        try:
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            about = self._cache.lstat()
        except OSError as error:
            raise ToolkitError(f"The cache directory {self._cache} cannot be made: {error.strerror}.") from error
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise ToolkitError(
                f"The cache directory {self._cache} must be one that only this user can write to: it holds code."
            )

    def _keep(self, target: Path, key: str, module: wasmtime.Module) -> None:
        data = bytes(module.serialize())
        record = {"key": key, "sha256": hashlib.sha256(data).hexdigest()}
        try:
            _write(target, data)
            _write(_record_of(target), json.dumps(record).encode())
        except OSError as error:
            raise ToolkitError(f"The cache directory {self._cache} cannot be written: {error.strerror}.") from error

    def _clean(self, current: Path) -> None:
        for other in self._cache.glob("opa-toolkit-*.cwasm"):
            # Another process may clean up at the same moment.
            with contextlib.suppress(OSError):
                if other != current and time.time() - other.stat().st_mtime > _OLD:
                    other.unlink()
                    _record_of(other).unlink()


def _silent(_: str) -> None:
    pass


def _record_of(target: Path) -> Path:
    return target.with_suffix(".json")


def _identity(path: Path) -> tuple[int, ...]:
    try:
        about = path.stat()
    except OSError:
        return ()
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


def _trusted(engine: wasmtime.Engine, target: Path, key: str) -> wasmtime.Module | None:
    try:
        record = json.loads(_record_of(target).read_bytes())
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if record != {"key": key, "sha256": digest}:
            return None
        return wasmtime.Module.deserialize_file(engine, str(target))
    except (OSError, ValueError, wasmtime.WasmtimeError):
        # Whatever is wrong with it, making it again is the answer.
        return None


def _write(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ToolkitError(f"The cache directory {path.parent} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unpacked(packed: Path, digest: str) -> str:
    """Return the digest of what is inside a packed file, as ``build.pack`` recorded it."""
    try:
        record = json.loads((packed.parent / "opa-toolkit.json").read_text("utf-8"))
        inside, _, outside = str(record["xz"]).partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        return digest
    return inside if outside == digest else digest


def _compile(engine: wasmtime.Engine, wasm: bytes, progress: Progress) -> wasmtime.Module:
    made: list[wasmtime.Module] = []
    failed: list[wasmtime.WasmtimeError] = []

    def work() -> None:
        try:
            made.append(wasmtime.Module(engine, wasm))
        except wasmtime.WasmtimeError as error:
            failed.append(error)

    started = time.monotonic()
    worker = threading.Thread(target=work, name="toolkit-compile", daemon=True)
    worker.start()
    while True:
        seconds = time.monotonic() - started
        progress(f"making machine code of OPA's toolkit, once: {seconds:.0f} s (takes 15 to 60)")
        worker.join(_NEWS_EVERY)
        if not worker.is_alive():
            break
    if failed:
        raise ToolkitError("The toolkit file is damaged; run scripts/setup to build it again.") from failed[0]
    return made[0]
