"""OPA as a native program: the oracle that shares nothing with the toolkit but OPA's source."""

import fcntl
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from policy_server.toolkit.answers import Spelled
from policy_server.toolkit.build import SOURCE, find_go, go_environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("native")
CACHE = ROOT / ".cache" / "differential"


def built() -> Path:
    """Return the program, made once for each OPA and each state of its source; Go is found as for the toolkit."""
    digest = hashlib.sha256()
    for path in (PROGRAM / "main.go", SOURCE / "go.mod", SOURCE / "go.sum"):
        digest.update(path.read_bytes())
    target = CACHE / f"native-{digest.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                made = Path(scratch) / "native"
                modules = f"-modfile={SOURCE / 'go.mod'}"
                command = [str(find_go(print)), "build", "-trimpath", "-buildvcs=false", modules, "-o", str(made), "."]
                subprocess.run(command, cwd=PROGRAM, env=go_environment(), check=True, capture_output=True)
                made.replace(target)
    return target


def answers(program: Path, questions: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Ask all questions: modules, query, data, input. An answer has a ``value``, an ``error``, or nothing."""
    lines = "".join(json.dumps(each) + "\n" for each in questions)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line, parse_float=Spelled) for line in done.stdout.splitlines()]
