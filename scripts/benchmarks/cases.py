"""The policies that are measured, with their data, their question and the right answer."""

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import peers
from benchmarks.places import CACHE
from benchmarks.rounds import Unmeasured

_TRIVIAL = """package bench.trivial

default allow := false

allow if input.user == "alice"
"""
_EQUALITY = """package bench.rules

default outcome := "none"

outcome := matching[0] if count(matching) > 0

matching := [rule.outcome | some rule in data.rules; rule.alias == input.alias]
"""
_CONDITIONS = """package bench.rules

default outcome := "none"

outcome := matching[0] if count(matching) > 0

matching := [rule.outcome |
	some rule in data.rules
	every condition in rule.conditions {
		input[condition.field] == condition.value
	}
]
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One policy with everything needed to ask it."""

    name: str
    modules: dict[str, str]
    entrypoint: str
    question: object
    expected: object
    data: dict[str, object] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """The entrypoint as OPA's command line names it."""
        return "data." + self.entrypoint.replace("/", ".")

    def lay(self, directory: Path) -> None:
        """Lay out the sources and the documents."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in self.modules.items():
            (directory / name).write_text(text, encoding="utf-8")
        for name, value in (("data", self.data), ("input", self.question), ("expected", self.expected)):
            (directory / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def write(self, directory: Path) -> Path:
        """Lay out everything contenders read, with the compiled policy.

        Raises:
            Unmeasured: nothing here can compile Rego.
        """
        self.lay(directory)
        (directory / "policy.wasm").write_bytes(compile_rego(self.modules, self.entrypoint))
        return directory


def trivial() -> Case:
    """One rule, one comparison."""
    return Case("trivial", {"policy.rego": _TRIVIAL}, "bench/trivial/allow", {"user": "alice"}, expected=True)


def equality(size: int) -> Case:
    """A list of rules, each compared by one field; all are looked at, the last one matches."""
    rules = [{"alias": f"room-{number}", "outcome": f"outcome-{number}"} for number in range(size)]
    return _scan("equality", _EQUALITY, rules, size)


def conditions(size: int) -> Case:
    """A list of rules with two conditions each, named by field; all are looked at, the last one matches."""
    rules = [
        {
            "conditions": [{"field": "alias", "value": f"room-{number}"}, {"field": "protocol", "value": "sip"}],
            "outcome": f"outcome-{number}",
        }
        for number in range(size)
    ]
    return _scan("conditions", _CONDITIONS, rules, size)


def _scan(name: str, rego: str, rules: Sequence[Mapping[str, object]], size: int) -> Case:
    return Case(
        f"{size} rules, {name}",
        {"policy.rego": rego},
        "bench/rules/outcome",
        {"alias": f"room-{size - 1}", "protocol": "sip"},
        expected=f"outcome-{size - 1}",
        data={"rules": rules},
    )


def compile_rego(modules: dict[str, str], entrypoint: str) -> bytes:
    """Compile with our toolkit, or with the native ``opa`` where the toolkit is not built yet.

    Raises:
        Unmeasured: neither is there.
    """
    compiled = _with_toolkit(modules, entrypoint)
    return _with_opa(modules, entrypoint) if compiled is None else compiled


def _with_toolkit(modules: dict[str, str], entrypoint: str) -> bytes | None:
    try:
        from policy_server.model.policy import Dialect  # noqa: PLC0415 - a peer can be measured without it
        from policy_server.settings import load_settings  # noqa: PLC0415
        from policy_server.toolkit.location import find_toolkit  # noqa: PLC0415
        from policy_server.toolkit.toolkit import Toolkit  # noqa: PLC0415
    except ImportError:
        return None
    module = find_toolkit()
    if module is None:
        return None
    toolkit = Toolkit(module, cache=load_settings().cache_dir / "toolkit")
    return toolkit.build(modules, [entrypoint], dialect=Dialect.V1)


def _with_opa(modules: dict[str, str], entrypoint: str) -> bytes:
    opa = peers.opa()
    work = CACHE / "build"
    work.mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (work / name).write_text(text, encoding="utf-8")
    bundle = work / "bundle.tar.gz"
    sources = [str(work / name) for name in modules]
    command = [str(opa), "build", "-t", "wasm", "-e", entrypoint, "-o", str(bundle), *sources]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode != 0:
        raise Unmeasured(f"opa build failed: {answer.stderr.strip()}")
    with tarfile.open(fileobj=io.BytesIO(bundle.read_bytes())) as archive:
        member = archive.extractfile("/policy.wasm")
        if member is None:
            raise Unmeasured("opa build made no policy.wasm")
        return member.read()
