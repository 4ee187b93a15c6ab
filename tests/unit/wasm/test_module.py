"""Modules: which are taken, and how they are kept."""

import hashlib
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from policy_server.model.errors import InvalidModule
from policy_server.wasm import module as module_room
from policy_server.wasm.module import ModuleCache

from .samples import EVERYTHING, TRIVIAL, fake


def _wasm(**parts: str) -> bytes:
    return bytes(wasmtime.wat2wasm(fake(**parts)))


def test_a_module_says_what_it_offers(compile_rego: Callable[..., bytes]) -> None:
    """Entrypoints come in id order; the ABI version is read once."""
    module = ModuleCache(None).load(compile_rego(EVERYTHING))

    assert "t/p" in module.entrypoints
    assert list(range(len(module.entrypoints))) == list(module.entrypoints.values())
    assert module.builtins == {}
    assert module.abi == (1, 3)


def test_the_builtins_a_module_needs_are_listed(compile_rego: Callable[..., bytes]) -> None:
    """A module names the functions that the host has to answer."""
    module = ModuleCache(None).load(
        compile_rego('package t.p\nx := external.http.header("A")\ny := sprintf("%d", [1])')
    )

    assert {"external.http.header", "sprintf"} == set(module.builtins.values())


@pytest.mark.parametrize(
    ("wasm", "message"),
    [
        (b"", "not WebAssembly"),
        (b"(module)", "not WebAssembly"),
        (b"hello", "not WebAssembly"),
        (b"\0asm", "not valid WebAssembly"),
        (b"\0asm\x01\0\0\0", "does not import its memory"),
        (b"\0asm\x01\0\0\0" + b"\xff" * 100, "not valid WebAssembly"),
        (_wasm(major="2"), "ABI version 2.3"),
        (_wasm(minor="1"), "ABI version 1.1"),
        (_wasm(builtins="unreachable"), "does not say what it offers"),
        (_wasm(builtins="i32.const -8"), "does not say what it offers"),
        (_wasm(entrypoints="i32.const 32"), "list of entrypoints cannot be read"),
        (_wasm(start="(func $s unreachable) (start $s)"), "does not start"),
        (_wasm(imports='(import "env" "memory" (memory 30000))'), "too much memory"),
        (_wasm(imports='(import "wasi" "fd_write" (func)) (import "env" "memory" (memory 2))'), r"wasi\.fd_write"),
        (
            _wasm(imports='(import "env" "opa_abort" (func (param i64))) (import "env" "memory" (memory 2))'),
            r"env\.opa_abort",
        ),
        (_wasm(imports='(memory (export "memory") 2)'), "does not import its memory"),
    ],
)
def test_what_opa_did_not_make_is_refused(wasm: bytes, message: str) -> None:
    """Text, garbage, other ABIs and modules that want more than OPA's are refused with the reason."""
    with pytest.raises(InvalidModule, match=message):
        ModuleCache(None).load(wasm)


@pytest.mark.parametrize("length", [100, 5_000, 100_000])
def test_a_truncated_module_is_refused(compile_rego: Callable[..., bytes], length: int) -> None:
    """Half a module is not a module."""
    with pytest.raises(InvalidModule):
        ModuleCache(None).load(compile_rego(TRIVIAL)[:length])


@pytest.mark.parametrize(
    "wrong",
    [
        '(func (export "opa_eval") (param i64) (result i32) i32.const 0)',
        '(global (export "opa_eval") i32 (i32.const 0))',
    ],
)
def test_an_export_of_the_wrong_kind_is_refused(wrong: str) -> None:
    """The fast way of calling does not check signatures, so loading does."""
    text = fake().replace('(func (export "opa_eval")', '(func (export "other")').replace("(data", wrong + "(data", 1)

    with pytest.raises(InvalidModule, match="opa_eval"):
        ModuleCache(None).load(bytes(wasmtime.wat2wasm(text)))


def test_a_module_that_never_finishes_loading_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a module has a deadline too."""
    monkeypatch.setattr(module_room, "PROBE_SECONDS", 0.05)  # five seconds would be long here

    with pytest.raises(InvalidModule, match="does not start"):
        ModuleCache(None).load(_wasm(start="(func $s (loop (br 0))) (start $s)"))


def test_the_digest_must_fit(compile_rego: Callable[..., bytes]) -> None:
    """A module that is not the one asked for is not loaded."""
    wasm = compile_rego(TRIVIAL)
    cache = ModuleCache(None)

    assert hashlib.sha256(wasm).hexdigest() == cache.load(wasm, hashlib.sha256(wasm).hexdigest()).digest
    with pytest.raises(InvalidModule, match="digest"):
        cache.load(wasm, "0" * 64)


def test_a_module_in_use_is_shared() -> None:
    """Loading the same bytes twice gives the same module."""
    cache = ModuleCache(None)

    first = cache.load(_wasm())

    assert first is cache.load(_wasm())


def test_a_module_nobody_uses_is_freed() -> None:
    """The cache does not keep modules alive: a thousand reloads do not add up."""
    cache = ModuleCache(None)

    for number in range(5):
        cache.load(_wasm(malloc=f"i32.const {2048 + number}"))

    assert len(cache._modules) == 0


def test_machine_code_is_kept_for_the_next_start(tmp_path: Path) -> None:
    """A second start reads what the first one compiled; nobody else may look at it."""
    directory = tmp_path / "cache"
    ModuleCache(directory).load(_wasm())
    (code,) = directory.glob("*.cwasm")
    before = code.stat().st_mtime_ns

    module = ModuleCache(directory).load(_wasm())

    assert module.entrypoints == {}
    assert before == code.stat().st_mtime_ns
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not list(directory.glob("*.tmp"))


def test_without_a_directory_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None means memory only."""
    monkeypatch.chdir(tmp_path)

    ModuleCache(None).load(_wasm())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".cwasm", ".sha256"])
def test_damaged_machine_code_is_made_again(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not what was written is never run."""
    ModuleCache(tmp_path).load(_wasm())
    (path,) = tmp_path.glob(f"*{suffix}")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    with caplog.at_level(logging.WARNING):
        ModuleCache(tmp_path).load(_wasm())

    assert "damaged" in caplog.text
    assert good == path.read_bytes()


def test_machine_code_of_another_build_is_made_again(tmp_path: Path) -> None:
    """A sound file that wasmtime does not accept is replaced."""
    ModuleCache(tmp_path).load(_wasm())
    (path,) = tmp_path.glob("*.cwasm")
    path.write_bytes(b"made elsewhere")
    path.with_suffix(".sha256").write_text(hashlib.sha256(b"made elsewhere").hexdigest())

    module = ModuleCache(tmp_path).load(_wasm())

    assert module.entrypoints == {}
    assert path.stat().st_size > 1000


def test_a_directory_that_others_may_enter_is_closed(tmp_path: Path) -> None:
    """Native code lies only where nobody else can put it."""
    tmp_path.chmod(0o777)

    ModuleCache(tmp_path).load(_wasm())

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_written_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a place to keep machine code, modules still load."""
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")

    with caplog.at_level(logging.WARNING):
        module = ModuleCache(blocked / "cache").load(_wasm())

    assert module.entrypoints == {}
    assert "cannot be kept" in caplog.text
