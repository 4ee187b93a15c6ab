"""The toolkit is found where set-up and the wheel put it."""

from pathlib import Path

import pytest

from policy_server.toolkit import location


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the package lies in an empty directory."""
    package = tmp_path / "policy_server"
    package.mkdir()
    monkeypatch.setattr(location, "_PACKAGE", package)
    return package


def touch(path: Path) -> Path:
    """Make an empty file with its directories."""
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_chosen_file_comes_first(package: Path, tmp_path: Path) -> None:
    """A chosen file is the answer even when it is not there, so that the error names it."""
    touch(tmp_path / "compiled" / "opa-toolkit.wasm")

    assert location.find_toolkit(Path("/chosen.wasm")) == Path("/chosen.wasm")


def test_checkout_before_installed(package: Path, tmp_path: Path) -> None:
    """The checkout's file wins over the installed one; without both there is none."""
    assert location.find_toolkit() is None
    installed = touch(package / "_bundled" / "compiled" / "opa-toolkit.wasm.xz")
    assert location.find_toolkit() == installed
    checkout = touch(tmp_path / "compiled" / "opa-toolkit.wasm")
    assert location.find_toolkit() == checkout


def test_bundled_root(package: Path, tmp_path: Path) -> None:
    """Compiled policies lie in the checkout, or inside the installed package."""
    assert location.bundled_root() == tmp_path
    (package / "_bundled").mkdir()
    assert location.bundled_root() == package / "_bundled"
