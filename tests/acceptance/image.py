"""Does what the Dockerfile says, on this machine: no image builder is needed to know that it works."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from policy_server.settings import load_settings
from policy_server.toolkit.build import pack

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage: its base, its name, its instructions."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        """Return what follows an instruction, each time it is there."""
        return [value for name, value in self.steps if name == instruction]

    def environ(self) -> dict[str, str]:
        """Return the variables it sets."""
        pairs = [pair.partition("=") for value in self.values("ENV") for pair in shlex.split(value)]
        return {name: value for name, _, value in pairs}


def read_dockerfile(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text(encoding="utf-8")).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, stage = value.partition(" AS ")
            current = stages.setdefault(stage.strip(), Stage(base.strip(), stage.strip()))
        else:
            current.steps.append((name, value.strip()))
    return stages


@dataclass(frozen=True)
class Image:
    """A directory that stands for the root of the image, and what the build stage left in it."""

    root: Path

    def inside(self, path: str) -> Path:
        """Return where an absolute path of the image is here."""
        return self.root / path.lstrip("/")

    def wheel(self) -> Path:
        """Return the wheel that was built."""
        [wheel] = self.inside("/dist").glob("*.whl")
        return wheel

    def run(self, command: str, directory: str, environ: Mapping[str, str]) -> None:
        """Run a shell command as the stage would; its paths become ours."""
        here = re.sub(r"(?<![\w./-])/(src|opt|dist|tmp|data)\b", lambda match: str(self.inside(match[0])), command)
        done = subprocess.run(
            ["sh", "-e", "-c", here],
            cwd=self.inside(directory),
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"

    def copy(self, value: str, directory: str) -> None:
        """Copy files of the checkout, as COPY does; only what .dockerignore lets through."""
        *sources, target = shlex.split(value)
        place = self.inside(directory) / target
        for source in sources:
            assert f"!{source.split('/')[0]}" in (ROOT / ".dockerignore").read_text().splitlines(), source
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "_bundled", "assets")
                shutil.copytree(ROOT / source, place, ignore=ignored, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


def build_image(root: Path) -> Image:
    """Carry out the build stage; what set-up made already (toolkit, machine code) is lent to it."""
    image = Image(root)
    stage = read_dockerfile()["build"]
    python = root / "bin"
    python.mkdir(parents=True)
    (python / "python3").symlink_to(getattr(sys, "_base_executable", sys.executable))
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("POLICY_", "PYTHON"))},
        "PATH": f"{python}:{os.environ['PATH']}",
    }
    directory = "/"
    for name, value in stage.steps:
        if name == "WORKDIR":
            directory = value
            _lend(image, directory)
        elif name == "COPY" and not value.startswith("--from="):
            image.copy(value, directory)
        elif name == "RUN":
            image.run(value, directory, environ)
    return image


def _lend(image: Image, directory: str) -> None:
    """Put the built toolkit and its machine code where the commands find them up to date."""
    compiled = image.inside(directory) / "compiled"
    compiled.mkdir(parents=True)
    pack(ROOT / "compiled" / "opa-toolkit.wasm", progress=lambda _line: None)
    for path in (ROOT / "compiled").glob("opa-toolkit.*"):
        shutil.copy(path, compiled)
    cache = image.inside("/tmp/cache")  # noqa: S108 - a path inside of the image
    cache.parent.mkdir(parents=True)
    cache.symlink_to(load_settings(environ=dict(os.environ)).cache_dir)


@contextmanager
def only_once(directory: Path) -> Iterator[bool]:
    """Tell whether this process is the first to come here; the others wait for it."""
    directory.mkdir(parents=True, exist_ok=True)
    done = directory / "done"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()
