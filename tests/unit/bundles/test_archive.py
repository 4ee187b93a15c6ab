"""The ZIP reader: reads what writers of bundles write, refuses everything else."""

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.bundles.archive import ZipArchive, ZipLimits, write_zip
from policy_server.model.errors import InvalidBundle, NotABundle

FILES = [("a.json", b'{"a": 1}'), ("b.rego", b"package b\n" * 100), ("empty", b"")]
LIMITS = ZipLimits(entries=4, entry_bytes=1 << 22, ratio=200)


def contents(packed: bytes, limits: ZipLimits = LIMITS) -> list[tuple[str, bytes]]:
    """Read everything."""
    archive = ZipArchive(packed, limits)
    return [(entry.name, archive.read(entry)) for entry in archive.entries]


def python_zip(files: list[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """Write the way Python does."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
        archive.comment = comment
    return target.getvalue()


class Unseekable(io.RawIOBase):
    """A target that writers must put descriptors into, as Go's writer always does."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, piece) -> int:
        """Append."""
        self.content += piece
        return len(piece)


def streamed_zip(files: list[tuple[str, bytes]]) -> bytes:
    """Write without going back to fill in sizes."""
    target = Unseekable()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return bytes(target.content)


def test_what_is_written_is_read_back() -> None:
    """In the same order."""
    assert contents(write_zip(FILES)) == FILES


def test_equal_files_make_equal_bytes() -> None:
    """A bundle of the same revision has the same digest, whenever it is made."""
    assert write_zip(FILES) == write_zip(list(FILES))


def test_others_read_what_is_written() -> None:
    """Python's reader finds nothing wrong."""
    with zipfile.ZipFile(io.BytesIO(write_zip(FILES))) as archive:
        assert archive.testzip() is None
        assert [(info.filename, archive.read(info)) for info in archive.infolist()] == FILES
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize(
    "packed",
    [
        python_zip(FILES),
        python_zip(FILES, method=zipfile.ZIP_STORED),
        python_zip(FILES, comment=b"x"),
        streamed_zip(FILES),
    ],
    ids=["deflated", "stored", "comment", "streamed"],
)
def test_what_others_write_is_read(packed: bytes) -> None:
    """Deflated or stored, with sizes in front of or behind the bytes, as Go's writer has them."""
    assert contents(packed) == FILES


@pytest.mark.parametrize(
    "packed",
    [b"", b"PK", b"hello" * 100, write_zip(FILES)[:-1], write_zip(FILES) + b"\n"],
    ids=["empty", "two bytes", "text", "cut off", "continued"],
)
def test_what_is_no_zip_is_said_to_be_none(packed: bytes) -> None:
    """Empty, other, cut off, continued."""
    with pytest.raises(NotABundle):
        contents(packed)


def test_something_in_front_is_refused() -> None:
    """Two readers could otherwise see two archives."""
    with pytest.raises((NotABundle, InvalidBundle)):
        contents(b"#!/bin/sh\n" + write_zip(FILES))


def test_a_gap_between_entries_is_refused() -> None:
    """No bytes hide in a bundle: here an entry that the directory does not list."""
    packed = write_zip(FILES)
    size, start = struct.unpack_from("<2L", packed, len(packed) - 10)
    first = 46 + len("a.json")
    directory = packed[start + first : start + size]
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), start, 0)

    with pytest.raises(InvalidBundle, match="between the entries"):
        contents(packed[:start] + directory + end)


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "a\\b", "..", ".hidden", "C:a", "a b", ""])
def test_names_with_a_path_are_refused(name: str) -> None:
    """Nothing is ever written to a disk, and nothing could be."""
    with pytest.raises(InvalidBundle, match="plain file name"):
        contents(write_zip([(name, b"x")]))


def test_a_name_that_is_not_ascii_is_refused() -> None:
    """Look-alikes have no place in a bundle."""
    with pytest.raises(InvalidBundle, match="plain file name"):
        contents(python_zip([("pölicy.rego", b"x")]))


def test_two_entries_with_one_name_are_refused() -> None:
    """Readers differ in which one they take."""
    with pytest.raises(InvalidBundle, match="one name"):
        contents(write_zip([("a", b"1"), ("a", b"2")]))


def test_too_many_entries_are_refused_before_they_are_read() -> None:
    """By the number that the archive's end names."""
    with pytest.raises(InvalidBundle, match="at most 4"):
        contents(write_zip([(f"f{number}", b"") for number in range(5)]))


def test_an_entry_that_is_too_large_is_refused_by_its_promise() -> None:
    """Nothing is unpacked."""
    with pytest.raises(InvalidBundle, match="at most 10 are read"):
        contents(write_zip([("a", b"x" * 11)]), ZipLimits(entry_bytes=10))


def test_a_zip_bomb_is_refused() -> None:
    """Three mebibytes of nothing are packed a thousand times smaller."""
    with pytest.raises(InvalidBundle, match="200 times smaller"):
        contents(write_zip([("a", bytes(3 << 20))]))


def test_an_entry_that_unpacks_to_more_than_it_promises_is_refused() -> None:
    """Unpacking stops one byte later."""
    packed = bytearray(write_zip([("a", b"x" * 5000)]))
    at = packed.rfind(b"PK\x01\x02")
    struct.pack_into("<L", packed, at + 24, 100)

    with pytest.raises(InvalidBundle, match="not as large"):
        contents(bytes(packed))


def test_a_changed_byte_is_noticed() -> None:
    """By the checksum."""
    packed = bytearray(python_zip([("a", b"hello")], method=zipfile.ZIP_STORED))
    packed[packed.index(b"hello")] ^= 1

    with pytest.raises(InvalidBundle, match="damaged"):
        contents(bytes(packed))


def test_encrypted_entries_are_refused() -> None:
    """The flag is enough."""
    packed = bytearray(write_zip([("a", b"hello")]))
    packed[packed.rfind(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(InvalidBundle, match="encrypted"):
        contents(bytes(packed))


def test_other_ways_of_packing_are_refused() -> None:
    """Such as bzip2."""
    with pytest.raises(InvalidBundle, match="way that is not read"):
        contents(python_zip([("a", b"hello")], method=zipfile.ZIP_BZIP2))


def test_directory_and_entry_must_name_the_same() -> None:
    """Streaming readers look at one, others at the other."""
    packed = write_zip([("policy", b"hello")]).replace(b"policy", b"colicy", 1)

    with pytest.raises(InvalidBundle, match="differently"):
        contents(packed)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(packed: bytes) -> None:
    """There is no third way."""
    try:
        contents(packed)
    except (NotABundle, InvalidBundle):
        return


@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Whatever a few changed bytes of a good archive do."""
    packed = bytearray(write_zip(FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = contents(bytes(packed))
    except (NotABundle, InvalidBundle):
        return

    assert [zlib.crc32(content) for _, content in found] == [zlib.crc32(content) for _, content in FILES]
