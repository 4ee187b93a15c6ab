"""Fetches the programs we are measured against, each into a place of its own under ``.cache/bench``."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.places import CACHE, ROOT
from benchmarks.rounds import Unmeasured, progress

OPA_VERSION = "1.22.2"
SDKS = {"opa-py-wasm": "1.2.1", "opa-wasmtime": "0.1.1"}
_INSTALL_SECONDS = 900


def opa() -> Path:
    """Return the native ``opa``, built from source where it is missing.

    Raises:
        Unmeasured: there is none, and it cannot be built here.
    """
    target = CACHE / "bin" / "opa"
    if _is_opa(target):
        return target
    found = shutil.which("opa")
    if found is not None and _is_opa(Path(found)):
        return Path(found)
    go = _go()
    if go is None:
        raise Unmeasured(f"there is no opa {OPA_VERSION}, and building it needs Go 1.26 or newer on PATH")
    progress(f"building opa {OPA_VERSION} into {target.parent} (once, about two minutes)")
    target.parent.mkdir(parents=True, exist_ok=True)
    _run(
        [go, "install", f"github.com/open-policy-agent/opa@v{OPA_VERSION}"],
        f"opa {OPA_VERSION} could not be built",
        environment={**os.environ, "GOBIN": str(target.parent), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"},
    )
    return target


def library() -> Path:
    """Return a program around OPA's Go library, built from ``golib.go`` with the modules our toolkit pins.

    Raises:
        Unmeasured: it cannot be built here.
    """
    source = Path(__file__).with_name("golib.go").read_bytes()
    target = CACHE / "bin" / f"opa-library-{hashlib.sha256(source).hexdigest()[:12]}"
    if target.is_file():
        return target
    go = _go()
    if go is None:
        raise Unmeasured("building a program around OPA's Go library needs Go 1.26 or newer on PATH")
    progress(f"building a program around OPA's Go library into {target.parent} (once, up to two minutes)")
    work = CACHE / "golib"
    work.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    (work / "main.go").write_bytes(source)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(ROOT / "policy_server" / "toolkit" / "go" / name, work / name)
    command = [go, "build", "-trimpath", "-o", str(target), "."]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    _run(command, "OPA's Go library could not be built", environment=environment, directory=work)
    return target


def sdk(name: str) -> Path:
    """Return the Python of an environment that holds one SDK, made where it is missing.

    Raises:
        Unmeasured: the SDK cannot be installed here.
    """
    version = SDKS[name]
    home = CACHE / name
    python = home / "bin" / "python"
    marker = home / f"installed-{version}"
    if marker.exists() and python.exists():
        return python
    progress(f"installing {name} {version} into {home} (once)")
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], f"no environment for {name} could be made")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", f"{name}=={version}"]
    _run(pip, f"{name} {version} could not be installed")
    marker.touch()
    return python


def wrk() -> Path:
    """Return the load generator.

    Raises:
        Unmeasured: it is not installed; the message says how to get it.
    """
    found = shutil.which("wrk")
    if found is None:
        raise Unmeasured("wrk is missing; install it with: apt-get install -y wrk")
    return Path(found)


def _go() -> str | None:
    """Return Go from PATH, or the one that set-up fetched."""
    return shutil.which("go") or shutil.which("go", path=str(ROOT / ".cache" / "go" / "go" / "bin"))


def _is_opa(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        answer = subprocess.run([path, "version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return False
    return f"Version: {OPA_VERSION}\n" in answer.stdout


def _run(
    command: list[str], failure: str, *, environment: dict[str, str] | None = None, directory: Path | None = None
) -> None:
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            env=environment,
            cwd=directory,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unmeasured(f"{failure}: {error}") from error
    if answer.returncode != 0:
        last = (answer.stderr.strip() or answer.stdout.strip() or "no message").splitlines()[-1]
        raise Unmeasured(f"{failure}: {last}")
