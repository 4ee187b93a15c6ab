"""Functions that installed packages bring."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from extension_calls import Extended

from policy_server.model.errors import BuiltinFailed, SettingsError

EXAMPLE = Path(__file__).parent / "acme_plugin" / "acme_functions.py"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a package as pip does: modules and entry points on the path.

    Patched because the path of a running interpreter cannot be had another way.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def put(points: str, module: str = "", name: str = "acme_functions") -> None:
        (tmp_path / f"{name}.py").write_text(module or EXAMPLE.read_text())
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[policy_server.builtins]\n{points}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


@pytest.mark.parametrize("wanted", ["acme", "*", "ac*"])
def test_a_package_brings_functions(wanted: str, install: Install) -> None:
    """Those its entry point names."""
    install("acme = acme_functions:FUNCTIONS")

    ask = Extended(plugins=(wanted,))

    assert ask("acme.shout", "hey") == "HEY"
    assert ask("acme.count") == 0
    with pytest.raises(BuiltinFailed, match=r"acme\.shout: there is nothing to shout"):
        ask("acme.shout", "")
    with pytest.raises(BuiltinFailed, match="operand 1 must be string"):
        ask("acme.shout", 1)


def test_a_single_function_needs_no_list(install: Install) -> None:
    """The entry point names it."""
    install("acme = acme_functions:shout")

    assert "acme.shout" in Extended(plugins=("acme",)).builtins


def test_nothing_is_loaded_that_nobody_named(install: Install) -> None:
    """A package may be installed for another reason."""
    install("acme = acme_functions:FUNCTIONS", "raise SystemExit")

    assert "acme.shout" not in Extended().builtins


@pytest.mark.parametrize(
    ("points", "module", "message"),
    [
        ("acme = acme_functions:NOTHING", "", "'acme' (acme_functions:NOTHING) cannot be loaded: AttributeError"),
        ("acme = acme_functions:X", "X = 1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("acme = acme_functions:X", "X = [len]", "brings something that is no Builtin"),
        ("other = acme_functions:X", "X = []", "no installed package has an entry point 'acme' in the group"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(points: str, module: str, message: str, install: Install) -> None:
    """At the start."""
    install(points, module)

    with pytest.raises(SettingsError) as caught:
        Extended(plugins=("acme",))

    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "message"),
    [("storage.get", "two functions called storage.get"), ("shout", "the name needs a dot")],
)
def test_names_of_a_package_are_as_restricted_as_those_of_a_file(name: str, message: str, install: Install) -> None:
    """Nobody replaces a function of ours or of OPA."""
    install("acme = acme_functions:FUNCTIONS", EXAMPLE.read_text().replace("acme.shout", name))

    with pytest.raises(SettingsError, match=message):
        Extended(plugins=("acme",))
