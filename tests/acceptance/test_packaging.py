"""The wheel: complete, and small in what it needs."""

import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from image import ROOT, Image

from policy_server.settings import load_settings


@pytest.fixture
def names(image: Image) -> list[str]:
    """Return the names of the files in the wheel."""
    with zipfile.ZipFile(image.wheel()) as wheel:
        return wheel.namelist()


def test_the_wheel_is_complete(names: list[str]) -> None:
    """Policies with their sources, the packed toolkit, Swagger UI, migrations, types, licences."""
    policies = [str(path.parent.relative_to(ROOT / "rego")) for path in (ROOT / "rego").glob("*/*/*/policy.rego")]
    wanted = [f"policy_server/_bundled/rego/{policy}/policy.rego" for policy in policies]
    wanted += [f"policy_server/_bundled/compiled/{policy}/policy.wasm" for policy in policies]
    wanted += [f"policy_server/_bundled/compiled/{policy}/manifest.json" for policy in policies]
    wanted += [
        "policy_server/_bundled/compiled/opa-toolkit.wasm.xz",
        "policy_server/_bundled/compiled/opa-toolkit.json",
        "policy_server/api/assets/swagger/swagger-ui-bundle.js",
        "policy_server/api/assets/swagger/LICENSE",
        "policy_server/py.typed",
    ]

    assert len(policies) == 6
    assert [name for name in wanted if name not in names] == []
    assert any(name.startswith("policy_server/storage/migrations/") for name in names)
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {
        "LICENSE",
        "NOTICE",
        "THIRD-PARTY-NOTICES.md",
    }


def test_the_wheel_holds_nothing_else(names: list[str]) -> None:
    """No tests, no scripts, no caches, no unpacked toolkit, one top-level package."""
    assert {name.split("/")[0].split("-")[0] for name in names} == {"policy_server"}
    assert [name for name in names if name.endswith((".pyc", "opa-toolkit.wasm", ".cwasm"))] == []


def test_the_packed_toolkit_is_the_built_one(image: Image) -> None:
    """What is unpacked at its first use is what was tested here."""
    with zipfile.ZipFile(image.wheel()) as wheel:
        packed = wheel.read("policy_server/_bundled/compiled/opa-toolkit.wasm.xz")

    assert lzma.decompress(packed) == (ROOT / "compiled" / "opa-toolkit.wasm").read_bytes()


def test_the_installed_command_compiles_with_the_packed_toolkit(image: Image, tmp_path: Path) -> None:
    """Without Go, from the wheel alone, a policy is checked by OPA."""
    (tmp_path / "policy.rego").write_text("package demo.door\n\nopen if nosuch(1)\n")
    program = image.inside("/opt/policy-server/bin/policy-server")
    # The machine code set-up made is that of the packed toolkit, too.
    cache = load_settings(environ=dict(os.environ)).cache_dir
    environ = {"PATH": str(program.parent), "HOME": str(tmp_path), "POLICY_CACHE_DIR": str(cache)}

    done = subprocess.run(
        [program, "check", tmp_path], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "policy.rego:3:9: " in done.stderr


def test_a_wheel_is_not_made_of_half(tmp_path: Path) -> None:
    """Without compiled policies the build says what to do, in one sentence."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "THIRD-PARTY-NOTICES.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "hatch_build.py").write_bytes((ROOT / "scripts" / "hatch_build.py").read_bytes())
    (tmp_path / "policy_server").mkdir()
    (tmp_path / "policy_server" / "version.py").write_bytes((ROOT / "policy_server" / "version.py").read_bytes())

    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "compiled/ is not complete; run scripts/setup before the wheel is built" in done.stdout + done.stderr
