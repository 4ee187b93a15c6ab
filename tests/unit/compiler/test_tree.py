"""Trees of policies are compiled as far as necessary, and read back with care."""

import json
from pathlib import Path

import pytest

from policy_server.compiler.compiler import RegoCompiler
from policy_server.compiler.tree import compile_tree, find_policies, read_compiled
from policy_server.model.errors import CompileError, InvalidModule
from policy_server.model.policy import Dialect, PolicyId
from policy_server.toolkit.toolkit import Toolkit


@pytest.fixture
def compiler(toolkit: Toolkit) -> RegoCompiler:
    """Return a compiler without functions of the product."""
    return RegoCompiler(toolkit, [])


@pytest.fixture
def rego(tmp_path: Path) -> Path:
    """Return a tree with two policies, one with a test beside it."""
    root = tmp_path / "rego"
    add(root, "g/one/1.0", "package g.one\n\ndecision := 1\n")
    add(root, "g/two/1.0", "package g.two\n\nallow { true }\n")
    (root / "g/one/1.0/policy_test.rego").write_text("package g.one_test\n\ntest_x if true\n")
    return root


def add(root: Path, place: str, text: str) -> Path:
    """Write a policy."""
    path = root / place / "policy.rego"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def contents(root: Path) -> dict[str, bytes]:
    """Return all files below a directory."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_policies_are_found_by_their_place(rego: Path) -> None:
    """Only group/name/version directories with a policy.rego are policies."""
    add(rego, "g", "package g\n")
    add(rego, "g/one/1.0/deeper", "package g\n")

    assert list(find_policies(rego)) == [
        (PolicyId("bundled", "g", "one", "1.0"), rego / "g/one/1.0"),
        (PolicyId("bundled", "g", "two", "1.0"), rego / "g/two/1.0"),
    ]


def test_tree_is_compiled_and_read_back(rego: Path, tmp_path: Path, compiler: RegoCompiler) -> None:
    """Every policy gets module and manifest, which say what they are; tests are not compiled in."""
    report = compile_tree(rego, tmp_path / "out", compiler)

    assert report.compiled == ("g/one/1.0", "g/two/1.0")
    one, two = read_compiled(tmp_path / "out/g/one/1.0"), read_compiled(tmp_path / "out/g/two/1.0")
    assert one.manifest.entrypoints == ("g/one", "g/one/decision")
    assert (one.manifest.dialect, two.manifest.dialect) == (Dialect.V1, Dialect.V0)
    assert one.wasm.startswith(b"\0asm")


def test_output_is_deterministic(rego: Path, tmp_path: Path, compiler: RegoCompiler) -> None:
    """Two compilations of one tree give the same files."""
    compile_tree(rego, tmp_path / "first", compiler)
    compile_tree(rego, tmp_path / "second", compiler)

    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_only_what_changed_is_compiled(rego: Path, tmp_path: Path, compiler: RegoCompiler, toolkit: Toolkit) -> None:
    """A changed source and a damaged output are compiled again; other functions or another dialect mean everything."""
    out = tmp_path / "out"
    compile_tree(rego, out, compiler)

    assert compile_tree(rego, out, compiler).kept == ("g/one/1.0", "g/two/1.0")
    add(rego, "g/one/1.0", "package g.one\n\ndecision := 2\n")
    assert compile_tree(rego, out, compiler).compiled == ("g/one/1.0",)
    (out / "g/two/1.0/policy.wasm").write_bytes(b"\0asm")
    assert compile_tree(rego, out, compiler).compiled == ("g/two/1.0",)
    other = RegoCompiler(toolkit, [{"name": "x.y", "decl": {"type": "function", "result": {"type": "any"}}}])
    assert len(compile_tree(rego, out, other).compiled) == 2
    add(rego, "g/two/1.0", "package g.two\n\nallow = true\n")
    assert len(compile_tree(rego, out, other, dialect=Dialect.V0).compiled) == 2


def test_output_without_source_is_removed(rego: Path, tmp_path: Path, compiler: RegoCompiler) -> None:
    """A deleted policy disappears from the output; files that are not ours stay."""
    out = tmp_path / "out"
    compile_tree(rego, out, compiler)
    (out / "opa-toolkit.wasm").write_text("stays")
    (out / "g/two/1.0/note.txt").write_text("stays")
    (rego / "g/one/1.0/policy.rego").unlink()
    (rego / "g/two/1.0/policy.rego").unlink()

    report = compile_tree(rego, out, compiler)

    assert report.removed == ("g/one/1.0", "g/two/1.0")
    assert sorted(contents(out)) == ["g/two/1.0/note.txt", "opa-toolkit.wasm"]
    assert not (out / "g/one").exists()


def test_all_problems_of_a_tree_come_together(rego: Path, tmp_path: Path, compiler: RegoCompiler) -> None:
    """A policy that fails keeps its old output, the others are written, every problem has its path."""
    out = tmp_path / "out"
    compile_tree(rego, out, compiler)
    before = contents(out / "g/one/1.0")
    add(rego, "g/one/1.0", "package g.one\n\nx if\n")
    add(rego, "g/three/1.0", "package g.four\n\nx := 1\n")
    add(rego, "g/five/1.0", "package g.five\n\nx := 1\n")
    (rego / "g/latin/1.0").mkdir(parents=True)
    (rego / "g/latin/1.0/policy.rego").write_bytes(b"package g.latin # \xe9\n")

    with pytest.raises(CompileError) as caught:
        compile_tree(rego, out, compiler)

    places = [(problem.file.removeprefix(f"{rego}/"), problem.line) for problem in caught.value.problems]
    assert places == [("g/latin/1.0/policy.rego", 0), ("g/one/1.0/policy.rego", 4), ("g/three/1.0/policy.rego", 1)]
    assert contents(out / "g/one/1.0") == before
    assert read_compiled(out / "g/five/1.0").wasm


def break_manifest(directory: Path) -> None:
    """Make the manifest unreadable."""
    (directory / "manifest.json").write_text("{")


def strip_manifest(directory: Path) -> None:
    """Take a field out of the manifest."""
    about = json.loads((directory / "manifest.json").read_text())
    del about["entrypoints"]
    (directory / "manifest.json").write_text(json.dumps(about))


def swap_module(directory: Path) -> None:
    """Put another module there."""
    (directory / "policy.wasm").write_bytes(b"\0asm")


def lose_module(directory: Path) -> None:
    """Delete the module."""
    (directory / "policy.wasm").unlink()


@pytest.mark.parametrize("damage", [break_manifest, strip_manifest, swap_module, lose_module])
def test_damaged_output_is_not_read(rego: Path, tmp_path: Path, compiler: RegoCompiler, damage) -> None:
    """Whatever is wrong with a compiled policy, reading it says which one it is and what to do."""
    compile_tree(rego, tmp_path / "out", compiler)
    damage(tmp_path / "out/g/one/1.0")

    with pytest.raises(InvalidModule, match=r"g/one/1\.0.*compile it again"):
        read_compiled(tmp_path / "out/g/one/1.0")


def test_bundled_tree_is_compiled_with_the_products_functions() -> None:
    """What set-up compiled is readable and answers every request type of Pexip."""
    root = Path(__file__).resolve().parents[3]
    found = list(find_policies(root / "rego"))

    assert len(found) >= 6
    for policy, _ in found:
        compiled = read_compiled(root / "compiled" / policy.group / policy.name / policy.version)
        assert f"{policy.entrypoint}/decision" in compiled.manifest.entrypoints
