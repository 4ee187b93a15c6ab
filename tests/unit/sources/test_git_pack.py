"""Packs of hostile or broken servers end in an error, or without what is too large; never in a full memory."""

import hashlib
import io
import random
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from git_server import git, make_work, need_git

from policy_server.model.errors import FetchError
from policy_server.sources.git_pack import BLOB, COMMIT, TREE, Limits, Objects, unpack

LIMITS = Limits(objects=1000, largest=1 << 20, unpacked=16 << 20)


def sha1(content: bytes) -> bytes:
    """Digest as Git does."""
    return hashlib.sha1(content, usedforsecurity=False).digest()


def number(kind: int, size: int) -> bytes:
    """Write kind and size of an object."""
    first, size = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while size:
        out.append(first | 128)
        first, size = size & 127, size >> 7
    return bytes([*out, first])


def sizes(*values: int) -> bytes:
    """Write the numbers a delta begins with."""
    out = bytearray()
    for value in values:
        left = value
        while left > 127:
            out.append((left & 127) | 128)
            left >>= 7
        out.append(left)
    return bytes(out)


def whole(content: bytes, kind: int = BLOB, size: int | None = None) -> bytes:
    """Write an object that is there whole."""
    return number(kind, len(content) if size is None else size) + zlib.compress(content)


def blob_id(content: bytes, kind: str = "blob") -> bytes:
    """Return the id of an object."""
    return sha1(f"{kind} {len(content)}\0".encode() + content)


def pack_of(*objects: bytes, count: int | None = None) -> bytes:
    """Write a pack."""
    body = b"PACK" + (2).to_bytes(4) + (len(objects) if count is None else count).to_bytes(4) + b"".join(objects)
    return body + sha1(bytes(body))


def read(pack: bytes, tmp_path: Path, limits: Limits = LIMITS) -> Objects:
    """Unpack."""
    file = tmp_path / "pack"
    file.write_bytes(pack)
    with file.open("rb") as opened:
        return unpack(opened, io.BytesIO(), limits, lambda: None)


def test_a_real_pack_is_read_as_git_reads_it(tmp_path: Path) -> None:
    """Every object of a history with many small changes, whichever way Git wrote them."""
    need_git()
    work = make_work(tmp_path)
    text = [f"line {n}" for n in range(300)]
    for n in range(20):
        text[n * 7] = f"changed {n}"
        work.write("g/n/1.0", "\n".join(["package g.n", *(f"# {line}" for line in text)]))
        work.push()
    git("gc", "-q", "--aggressive", cwd=work.bare)
    (pack,) = (work.bare / "objects" / "pack").glob("*.pack")

    objects = read(pack.read_bytes(), tmp_path)

    kinds = {"commit": COMMIT, "tree": TREE, "blob": BLOB}
    listed = git("cat-file", "--batch-all-objects", "--batch-check", cwd=work.bare).splitlines()
    assert "chain length" in git("verify-pack", "-v", pack, cwd=work.bare)
    for sha, kind, _size in map(str.split, listed):
        content = objects.read(bytes.fromhex(sha), kinds[kind])
        assert sha1(f"{kind} {len(content)}\0".encode() + content).hex() == sha
    assert len(listed) > 60


def test_a_change_of_an_object_that_comes_later_is_made(tmp_path: Path) -> None:
    """By its id, as servers send them when they were not told otherwise."""
    base, made = b"hello", b"hello!"
    delta = sizes(5, 6) + bytes([0x90, 5, 1]) + b"!"
    change = number(7, len(delta)) + blob_id(base) + zlib.compress(delta)

    objects = read(pack_of(change, whole(base)), tmp_path)

    assert objects.read(blob_id(made), BLOB) == made


def test_a_large_object_is_passed_over_without_being_held(tmp_path: Path) -> None:
    """Fifty megabytes of nothing are fifty kilobytes in a pack."""
    pack = pack_of(whole(bytes(50 << 20)), whole(b"small"))
    tracemalloc.start()

    objects = read(pack, tmp_path, Limits(10, 1 << 20, 100 << 20))

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert objects.read(blob_id(b"small"), BLOB) == b"small"
    assert objects.size(blob_id(bytes(50 << 20))) is None
    assert most < 4 << 20


def test_a_change_that_makes_a_large_object_is_passed_over(tmp_path: Path) -> None:
    """A few bytes can say: two gigabytes."""
    delta = sizes(5, 2 << 30) + bytes([0x90, 5]) * 10
    change = number(7, len(delta)) + blob_id(b"hello") + zlib.compress(delta)

    assert read(pack_of(whole(b"hello"), change), tmp_path).size(blob_id(b"hello")) == 5


@pytest.mark.parametrize(
    ("pack", "told"),
    [
        (b"", "broken"),
        (b"PACK", "broken"),
        (pack_of(whole(b"x"))[:-1], "checksum"),
        (pack_of(whole(b"x")).replace(b"PACK", b"KCAP"), "begin"),
        (pack_of(whole(b"x"), count=2), "broken"),
        (pack_of(count=4_000_000_000), "1000 are allowed"),
        (pack_of(number(3, 9)), "broken"),
        (pack_of(number(5, 0)), "kind 5"),
        (pack_of(b"\xff" * 40), "number without end"),
        (pack_of(whole(b"xxxx", size=2)), "longer than it says"),
        (pack_of(whole(b"xx", size=4)), "shorter than it says"),
        (pack_of(whole(bytes(17 << 20))), "unpacks to more"),
        (pack_of(whole(b"hello"), number(7, 3) + blob_id(b"hello") + zlib.compress(sizes(5, 9) + b"\x01")), "broken"),
        (pack_of(whole(b"hello"), number(7, 1) + blob_id(b"hello") + zlib.compress(b"\xff")), "broken"),
    ],
)
def test_what_is_no_pack_is_an_error(pack: bytes, told: str, tmp_path: Path) -> None:
    """One sentence, whatever is wrong."""
    with pytest.raises(FetchError, match=told):
        read(pack, tmp_path)


def test_an_object_that_stands_on_itself_is_not_there(tmp_path: Path) -> None:
    """Changes in a circle have no content, and do not keep us."""
    delta = zlib.compress(sizes(1, 1) + b"\x01x")
    with pytest.raises(FetchError, match="left out"):
        read(pack_of(number(6, 4) + b"\x00" + delta), tmp_path).read(bytes(20), BLOB)


def test_noise_never_ends_otherwise(tmp_path: Path) -> None:
    """A pack with bytes changed at random is read or refused; nothing else happens."""
    chance = random.Random(7)
    delta = sizes(5, 6) + bytes([0x90, 5, 1]) + b"!"
    good = pack_of(whole(b"hello"), number(7, len(delta)) + blob_id(b"hello") + zlib.compress(delta), whole(b"x" * 99))
    for _ in range(500):
        body = bytearray(good[:-20])
        for _ in range(chance.randint(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        with suppress(FetchError):
            read(bytes(body) + sha1(bytes(body)), tmp_path)
