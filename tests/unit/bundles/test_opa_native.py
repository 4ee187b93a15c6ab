"""OPA itself, where scripts/bench has fetched it: it loads what we write, we load what it builds."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from bundle_desk import Desk

from policy_server.bundles.opa import read_opa
from policy_server.model.policy import PolicyId

ROOT = Path(__file__).parents[3]
OPA = Path(os.environ.get("BENCH_CACHE") or ROOT / ".cache" / "bench") / "bin" / "opa"
POLICY = PolicyId("r", "g", "p", "1.0")

pytestmark = pytest.mark.skipif(not OPA.is_file(), reason=f"there is no {OPA}: scripts/bench fetches it")


def opa(*arguments: str | Path, at: Path) -> str:
    """Run OPA and return what it writes."""
    done = subprocess.run([OPA, *arguments], cwd=at, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "rego",
    [
        "package g.p\n\nallow if data.admins[_] == input.user\n",
        "package g.p\n\nallow { data.admins[_] == input.user }\n",
    ],
    ids=["v1", "v0"],
)
def test_opa_evaluates_our_bundle(desk: Desk, tmp_path: Path, rego: str) -> None:
    """With `opa eval -b`, in the Rego version that the manifest names."""
    desk.publish(str(POLICY), rego, data='{"admins": ["alice"]}')
    (tmp_path / "b.tar.gz").write_bytes(desk.exporter.export_opa(POLICY, wasm=False).content)
    (tmp_path / "input.json").write_text('{"user": "alice"}')

    answer = opa("eval", "-b", "b.tar.gz", "-i", "input.json", "data.g.p", at=tmp_path)

    assert json.loads(answer)["result"][0]["expressions"][0]["value"] == {"allow": True}


def test_opa_inspects_our_bundle(desk: Desk, tmp_path: Path) -> None:
    """Manifest and compiled module are where it looks for them."""
    desk.publish(str(POLICY), "package g.p\n\nallow := true\n", data='{"g": {"q": 1}}')
    (tmp_path / "b.tar.gz").write_bytes(desk.exporter.export_opa(POLICY, wasm=True).content)

    found = json.loads(opa("inspect", "--format", "json", "b.tar.gz", at=tmp_path))

    assert found["manifest"]["roots"] == ["g"]
    assert found["namespaces"]["data.g.p"] == ["/g/p/policy.rego", "/policy.wasm"]


def test_we_read_what_opa_builds(desk: Desk, tmp_path: Path) -> None:
    """A policy with data in a directory of its own."""
    (tmp_path / "src" / "g").mkdir(parents=True)
    (tmp_path / "src" / "p.rego").write_text("package g.p\n\nallow if input.user == data.g.admin\n")
    (tmp_path / "src" / "g" / "data.json").write_text('{"admin": "bob"}')
    opa("build", "-b", "src", "-o", "built.tar.gz", at=tmp_path)

    plain = read_opa((tmp_path / "built.tar.gz").read_bytes())
    revision = desk.publisher.publish(plain.source(POLICY, origin="built.tar.gz"), author="test")

    assert json.loads(revision.data or "") == {"g": {"admin": "bob"}}
    assert str(revision.manifest.dialect) == "v1"
