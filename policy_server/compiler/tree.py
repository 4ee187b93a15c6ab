"""Trees of policies on disk: ``<group>/<name>/<version>/policy.rego`` compiled, and read back."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_server.compiler.compiler import RegoCompiler, relocated
from policy_server.model.errors import CompileError, InvalidModule, Problem, PublishError
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicyId, PolicySource

SOURCE = "policy.rego"
MODULE = "policy.wasm"
MANIFEST = "manifest.json"
REPOSITORY = "bundled"


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What `compile_tree` did, as ``group/name/version``, sorted."""

    compiled: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def find_policies(rego: Path, repository: str = REPOSITORY) -> Iterator[tuple[PolicyId, Path]]:
    """Yield the policies of a tree with their directories, ordered by path."""
    for source in sorted(rego.glob(f"*/*/*/{SOURCE}")):
        group, name, version = source.parent.relative_to(rego).parts
        yield PolicyId(repository, group, name, version), source.parent


def compile_tree(
    rego: Path,
    out: Path,
    compiler: RegoCompiler,
    *,
    dialect: Dialect = Dialect.AUTO,
    progress: Callable[[str], None] | None = None,
) -> TreeReport:
    """Make ``out/<group>/<name>/<version>/`` from every policy of the tree.

    What was made of the same source by the same compiler is kept; outputs
    without a source are removed. A policy that fails keeps its old output.

    Raises:
        CompileError: some policies failed, with all their problems; the others are written.
        ToolkitError: the toolkit is missing, wrong or broke.
    """
    maker = _maker(compiler)
    compiled: list[str] = []
    kept: list[str] = []
    problems: list[Problem] = []
    wanted: set[Path] = set()
    for policy, directory in find_policies(rego):
        target = out / policy.group / policy.name / policy.version
        wanted.add(target)
        path = directory / SOURCE
        where = _name(target, out)
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            problems.append(Problem("The file is not UTF-8.", file=str(path)))
            continue
        if _is_current(target, text, dialect, maker):
            kept.append(where)
            continue
        try:
            made = compiler.compile(PolicySource(policy, text, dialect=dialect, origin=str(path)))
        except PublishError as error:
            problems += relocated(error.problems, str(path)) or [Problem(error.message, file=str(path))]
            continue
        _write_compiled(target, made, dialect, maker)
        compiled.append(where)
        if progress is not None:
            progress(where)
    removed = _remove_others(out, wanted)
    if problems:
        raise failed(problems)
    return TreeReport(tuple(compiled), tuple(kept), tuple(removed))


def read_compiled(directory: Path) -> CompiledPolicy:
    """Read what `compile_tree` wrote; InvalidModule when files are missing, damaged or do not fit together."""
    try:
        about = json.loads((directory / MANIFEST).read_text("utf-8"))
        wasm = (directory / MODULE).read_bytes()
        manifest = Manifest(
            digest=str(about["digest"]),
            source_digest=str(about["source_digest"]),
            opa_version=str(about["opa_version"]),
            dialect=Dialect(about["dialect"]),
            entrypoints=tuple(map(str, about["entrypoints"])),
            builtins=tuple(map(str, about["builtins"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidModule(f"{directory} has no compiled policy that can be read; compile it again.") from error
    if hashlib.sha256(wasm).hexdigest() != manifest.digest:
        raise InvalidModule(f"{directory / MODULE} is not what its manifest describes; compile it again.")
    return CompiledPolicy(wasm, manifest)


def failed(problems: Sequence[Problem]) -> CompileError:
    """Make one error of the problems of several files."""
    first = "\n".join(map(str, problems))
    return CompileError(first, problems=problems)


def _name(target: Path, out: Path) -> str:
    return target.relative_to(out).as_posix()


def _maker(compiler: RegoCompiler) -> str:
    """Return the digest of all that decides, besides the source, what a compilation gives."""
    about = [compiler.toolkit.digest(), list(compiler.declarations)]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _is_current(target: Path, text: str, dialect: Dialect, maker: str) -> bool:
    try:
        about = json.loads((target / MANIFEST).read_text("utf-8"))
        manifest = read_compiled(target).manifest
    except (OSError, ValueError, InvalidModule):
        return False
    digest = hashlib.sha256(text.encode()).hexdigest()
    return manifest.source_digest == digest and about.get("maker") == maker and about.get("wanted") == dialect


def _write_compiled(target: Path, made: CompiledPolicy, dialect: Dialect, maker: str) -> None:
    manifest = made.manifest
    about = {
        "builtins": manifest.builtins,
        "dialect": manifest.dialect,
        "digest": manifest.digest,
        "entrypoints": manifest.entrypoints,
        "maker": maker,
        "opa_version": manifest.opa_version,
        "source_digest": manifest.source_digest,
        "wanted": dialect,
    }
    target.mkdir(parents=True, exist_ok=True)
    # The manifest comes last: a reader that finds an old one with a new module sees that they do not fit.
    _replace(target / MODULE, made.wasm)
    _replace(target / MANIFEST, (json.dumps(about, indent=2) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _remove_others(out: Path, wanted: set[Path]) -> list[str]:
    removed = []
    for manifest in sorted(out.glob(f"*/*/*/{MANIFEST}")):
        target = manifest.parent
        if target in wanted:
            continue
        manifest.unlink(missing_ok=True)
        (target / MODULE).unlink(missing_ok=True)
        removed.append(_name(target, out))
        for directory in (target, target.parent, target.parent.parent):
            # What is not empty holds something that is not ours.
            with contextlib.suppress(OSError):
                directory.rmdir()
    return removed
