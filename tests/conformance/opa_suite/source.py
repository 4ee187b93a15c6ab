"""Where the cases come from: OPA's Go module in the module cache, prepared by our Go program.

Nothing of OPA is copied into the repository; which OPA it is says the toolkit's go.mod.
"""

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy_server.model.errors import ToolkitError
from policy_server.toolkit.build import SOURCE, find_go, go_environment

ROOT = Path(__file__).resolve().parents[3]
PREPARE = Path(__file__).resolve().parents[1] / "prepare"
CACHE = ROOT / ".cache" / "conformance"
_OPA = "github.com/open-policy-agent/opa"


class Unprepared(Exception):
    """The cases cannot be had."""


def prepared(*, unmoved: bool = False) -> Path:
    """Return the file with all cases, made once for each OPA and each state of the Go program.

    ``unmoved`` cases have OPA's own text and have to be compiled alone.

    Raises:
        Unprepared: there is no Go, or no Go module of OPA.
    """
    kind = "unmoved" if unmoved else "cases"
    target = CACHE / f"{kind}-{_digest()}.json"
    with _alone():
        if not target.is_file():
            for old in CACHE.glob(f"{kind}-*.json"):
                old.unlink()
            _make(target, "-unmoved" if unmoved else "-unmoved=false")
    return target


def _digest() -> str:
    digest = hashlib.sha256()
    for path in [*sorted(PREPARE.glob("*.go")), SOURCE / "go.mod", SOURCE / "go.sum"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _alone() -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(target: Path, option: str) -> None:
    try:
        go = find_go(_say)
    except ToolkitError as error:
        raise Unprepared(error.message) from error
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        program, cases = Path(scratch) / "prepare", Path(scratch) / "cases.json"
        modules = f"-modfile={SOURCE / 'go.mod'}"
        _say("building tests/conformance/prepare (takes up to a minute, once)")
        _run([str(go), "build", "-trimpath", "-buildvcs=false", modules, "-o", str(program), "."])
        opa = _run([str(go), "list", "-m", "-f", "{{.Dir}}", modules, _OPA]).strip()
        _run([str(program), "-opa", opa, "-out", str(cases), option])
        cases.replace(target)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=PREPARE, env=go_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unprepared(f"OPA's test cases cannot be prepared: {said[-1]}")
    return done.stdout


def _say(line: str) -> None:
    sys.stderr.write(f"conformance: {line}\n")
    sys.stderr.flush()
