"""Machine code comes from a cache that is trusted only as far as it deserves."""

import hashlib
import json
import lzma
from pathlib import Path

import pytest
import wasmtime

from policy_server.model.errors import ToolkitError, ToolkitMissing
from policy_server.toolkit.machine import MachineCode, make_engine
from policy_server.toolkit.toolkit import Toolkit

STACK = 1 << 20
MODULE = wasmtime.wat2wasm('(module (func (export "answer") (result i32) (i32.const 42)))')


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Return a small module; what it does is not the cache's business."""
    path = tmp_path / "opa-toolkit.wasm"
    path.write_bytes(MODULE)
    return path


def load(module: Path, cache: Path) -> tuple[int, list[str]]:
    """Load and run; return the answer and the news about compiling, none when it came from the cache."""
    news: list[str] = []
    engine = make_engine(STACK)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(10)
    loaded = MachineCode(module, cache).load(engine, news.append)
    answer = wasmtime.Instance(store, loaded, []).exports(store)["answer"](store)
    return answer, news


def test_second_load_comes_from_the_cache(module: Path, tmp_path: Path) -> None:
    """Compiling happens once and tells that it goes on; the directory is made for us alone."""
    cache = tmp_path / "some" / "cache"

    first, second = load(module, cache), load(module, cache)

    assert (first[0], second[0]) == (42, 42)
    assert first[1]
    assert not second[1]
    assert cache.stat().st_mode & 0o777 == 0o700


def test_who_has_no_terminal_finds_it_in_the_log(
    module: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server says why new policies wait, and when they wait no more; only where something is compiled."""
    with caplog.at_level("INFO"):
        for _ in range(2):
            MachineCode(module, tmp_path / "cache").load(make_engine(STACK))

    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(",")[0] for line in said] == [
        "making machine code of OPA's toolkit", "OPA's toolkit is ready",
    ]  # fmt: skip


def corrupt(cwasm: Path, _record: Path) -> None:
    """Change one byte of the code."""
    data = bytearray(cwasm.read_bytes())
    data[len(data) // 2] ^= 1
    cwasm.write_bytes(data)


def forge(cwasm: Path, record: Path) -> None:
    """Put other bytes there, with a digest that fits them."""
    cwasm.write_bytes(b"not code at all")
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "sha256": hashlib.sha256(b"not code at all").hexdigest()}))


def foreign(_cwasm: Path, record: Path) -> None:
    """Make the record one of another toolkit."""
    record.write_text(json.dumps({**json.loads(record.read_text()), "key": "0" * 64}))


def unrecorded(_cwasm: Path, record: Path) -> None:
    """Lose the record."""
    record.unlink()


def garbled(_cwasm: Path, record: Path) -> None:
    """Make the record unreadable."""
    record.write_bytes(b"\xff{")


@pytest.mark.parametrize("damage", [corrupt, forge, foreign, unrecorded, garbled])
def test_damaged_cache_is_made_again(module: Path, tmp_path: Path, damage) -> None:
    """Code that is not what we wrote is never run."""
    cache = tmp_path / "cache"
    load(module, cache)
    (cwasm,) = cache.glob("*.cwasm")
    damage(cwasm, cwasm.with_suffix(".json"))

    answer, news = load(module, cache)

    assert answer == 42
    assert news
    assert not load(module, cache)[1]


def test_code_that_changed_since_it_was_checked_is_checked_again(module: Path, tmp_path: Path) -> None:
    """The second engine of a process trusts the file only while it is the same."""
    code = MachineCode(module, tmp_path / "cache")
    code.load(make_engine(STACK))
    (cwasm,) = (tmp_path / "cache").glob("*.cwasm")
    news: list[str] = []

    code.load(make_engine(STACK), news.append)
    assert not news
    corrupt(cwasm, cwasm)
    code.load(make_engine(STACK), news.append)
    assert news


def test_another_module_has_another_cache_entry(module: Path, tmp_path: Path) -> None:
    """A rebuilt toolkit does not run as the old code."""
    cache = tmp_path / "cache"
    load(module, cache)
    module.write_bytes(wasmtime.wat2wasm('(module (func (export "answer") (result i32) (i32.const 43)))'))

    assert load(module, cache)[0] == 43


def test_compressed_module(tmp_path: Path) -> None:
    """The wheel's compressed file works as it is."""
    packed = tmp_path / "opa-toolkit.wasm.xz"
    packed.write_bytes(lzma.compress(MODULE))

    assert load(packed, tmp_path / "cache")[0] == 42


def test_packed_and_unpacked_share_their_machine_code(module: Path, tmp_path: Path) -> None:
    """A record that fits the packed file says what is inside; a record that does not is not believed."""
    packed, record = tmp_path / "opa-toolkit.wasm.xz", tmp_path / "opa-toolkit.json"
    packed.write_bytes(lzma.compress(MODULE))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (module, packed)]
    record.write_text(json.dumps({"xz": ":".join(digests)}))
    load(module, tmp_path / "cache")

    assert load(packed, tmp_path / "cache") == (42, [])

    record.write_text(json.dumps({"xz": f"{digests[0]}:{'0' * 64}"}))

    assert MachineCode(packed, tmp_path / "cache").digest() == digests[1]


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_directory_that_others_can_write_to_is_refused(module: Path, tmp_path: Path, mode: int) -> None:
    """Native code is never read from where somebody else could have put it."""
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)

    with pytest.raises(ToolkitError, match=f"{cache} must be one that only this user can write to"):
        load(module, cache)


def test_link_in_place_of_the_directory_is_refused(module: Path, tmp_path: Path) -> None:
    """A link could lead anywhere."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "real")

    with pytest.raises(ToolkitError, match="must be one"):
        load(module, tmp_path / "cache")


def test_directory_that_cannot_be_made(module: Path, tmp_path: Path) -> None:
    """The message names the directory and the reason."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ToolkitError, match=rf"{tmp_path}/file/cache cannot be made: Not a directory"):
        load(module, tmp_path / "file" / "cache")


def test_missing_toolkit(tmp_path: Path) -> None:
    """Without the file the message says where it was looked for and what to do."""
    toolkit = Toolkit(tmp_path / "nothing.wasm", cache=tmp_path / "cache")

    with pytest.raises(ToolkitMissing, match=r"nothing\.wasm; run scripts/setup"):
        toolkit.version()
    with pytest.raises(ToolkitMissing):
        toolkit.builtin("plus", [b"1", b"1"], now_ns=0, seed=0)
    assert not toolkit.loaded()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.wasm", b"text", "is not OPA's toolkit"),
        ("t.wasm", b"", "is not OPA's toolkit"),
        ("t.wasm", b"\0asm\1\0\0\0\xff\xff", "is damaged"),
        ("t.wasm.xz", b"text", "is not OPA's toolkit"),
        ("t.wasm.xz", lzma.compress(MODULE)[:-20], "is not OPA's toolkit"),
        ("t.wasm", MODULE, "not a toolkit of this version"),
    ],
)
def test_wrong_toolkit(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A file that is something else is told in one sentence."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ToolkitError, match=message) as caught:
        Toolkit(path, cache=tmp_path / "cache").version()
    assert "\n" not in caught.value.message


def test_toolkit_with_other_signatures_is_refused(tmp_path: Path) -> None:
    """A toolkit of another version of this product is not called with arguments it does not expect."""
    names = ("_initialize", "tune", "buffer", "call", "builtin")
    functions = "".join(f'(func (export "{name}"))' for name in names)
    path = tmp_path / "t.wasm"
    path.write_bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {functions})'))

    with pytest.raises(ToolkitError, match="not a toolkit of this version"):
        Toolkit(path, cache=tmp_path / "cache").version()


def test_constructing_and_asking_does_nothing(tmp_path: Path) -> None:
    """A toolkit object costs nothing before its first use."""
    toolkit = Toolkit(tmp_path / "nothing.wasm", cache=tmp_path / "cache")

    assert not toolkit.loaded()
    assert list(tmp_path.iterdir()) == []


def test_sandbox_has_no_files_and_no_sockets(toolkit_file: Path, toolkit: Toolkit) -> None:
    """The module cannot even name a socket, and reads nothing of the host's file system."""
    engine = make_engine(STACK)
    cache = Path(__file__).resolve().parents[3] / ".cache" / "toolkit"
    imports = MachineCode(toolkit_file, cache).load(engine).imports

    assert {each.module for each in imports} == {"wasi_snapshot_preview1", "policy_server"}
    assert {each.name for each in imports if each.module == "policy_server"} == {"host_call", "host_take"}
    assert not [each.name for each in imports if (each.name or "").startswith("sock_")]
    read = toolkit.builtin("json.verify_schema", [b'{"$ref": "file:///etc/passwd"}'], now_ns=0, seed=0)
    assert read is not None
    assert read.startswith(b"[false")
