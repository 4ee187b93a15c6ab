"""ZIP files: written with the same bytes every time, read within limits.

SECURITY: the reader is our own because Python's makes an object of every entry of
the directory before anybody can count them. It reads what writers of bundles
write (stored or deflated, no encryption, no ZIP64, nothing before, between or
after) and refuses everything else, so that no two readers can see two contents.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policy_server.model.errors import InvalidBundle, NotABundle

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_DEFLATED: Final = 8
_REFUSED_FLAGS: Final = 1 | 1 << 5 | 1 << 6 | 1 << 13  # encrypted, patched, strongly encrypted, masked
_EPOCH: Final = 0x21  # 1980-01-01, the first day a ZIP file knows
_VERSION: Final = 20
_LONGEST_NAME: Final = 255
_SMALL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """How much is read: number of entries, bytes of each when unpacked, and how many times smaller it may be packed.

    The ratio counts for entries of more than a mebibyte only.
    """

    entries: int = 16
    entry_bytes: int = 64 << 20
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, still packed; ``size`` is what its directory promises, in bytes."""

    name: str
    method: int
    checksum: int
    start: int
    packed: int
    size: int


def write_zip(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Pack files in their order, deflated; equal files give equal bytes."""
    body, directory = bytearray(), bytearray()
    for name, content in files:
        title = name.encode("ascii")
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(content) + deflate.flush()
        facts = (0, _DEFLATED, 0, _EPOCH, zlib.crc32(content), len(packed), len(content), len(title), 0)
        directory += _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, *facts, 0, 0, 0, 0, len(body)) + title
        body += _LOCAL.pack(b"PK\x03\x04", _VERSION, *facts) + title + packed
    end = _END.pack(b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory + end)


class ZipArchive:
    """The entries of a ZIP file that kept all rules; nothing is unpacked before it is asked for."""

    def __init__(self, content: bytes, limits: ZipLimits) -> None:
        """Read the directory.

        Raises:
            NotABundle: the bytes are no ZIP file.
            InvalidBundle: they are one that no bundle has: too many entries, odd names, encryption, gaps.
        """
        self._content = content
        self._limits = limits
        count, start, end = _find_end(content)
        if count > limits.entries:
            raise InvalidBundle(f"The archive has {count} entries; at most {limits.entries} are read.")
        self.entries = self._directory(count, start, end)

    @property
    def names(self) -> list[str]:
        """The names of the entries, in order."""
        return [entry.name for entry in self.entries]

    def read(self, entry: Entry, *, most: int | None = None) -> bytes:
        """Unpack one entry of at most ``most`` bytes; InvalidBundle when it is larger or broken."""
        limit = min(self._limits.entry_bytes, self._limits.entry_bytes if most is None else most)
        if entry.size > limit:
            raise InvalidBundle(f"{entry.name} has {entry.size} bytes; at most {limit} are read.")
        if entry.size > max(_SMALL, entry.packed * self._limits.ratio):
            raise InvalidBundle(f"{entry.name} is packed more than {self._limits.ratio} times smaller than it is.")
        packed = self._content[entry.start : entry.start + entry.packed]
        content = packed if entry.method == 0 else _inflate(entry, packed)
        if len(content) != entry.size or zlib.crc32(content) != entry.checksum:
            raise InvalidBundle(f"{entry.name} is damaged.")
        return content

    def _directory(self, count: int, start: int, end: int) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        at, expected = start, 0
        for _ in range(count):
            entry, at, begin = self._entry(at, end)
            if begin != expected:
                raise InvalidBundle("There is something between the entries of the archive.")
            expected = self._after(entry, start)
            if entry.name in {known.name for known in entries}:
                raise InvalidBundle("The archive has two entries with one name.")
            entries.append(entry)
        if at != end or expected != start:
            raise InvalidBundle("The archive has bytes that belong to no entry.")
        return tuple(entries)

    def _entry(self, at: int, end: int) -> tuple[Entry, int, int]:
        """Read one line of the directory; returns it, where the next is, and where its local header is."""
        if at + _CENTRAL.size > end:
            raise InvalidBundle("The archive's directory is cut off.")
        (
            mark, _, _, flags, method, _, _, checksum, packed, size, title, extra, comment, disk, _, _, header,
        ) = _CENTRAL.unpack_from(self._content, at)  # fmt: skip
        tail = at + _CENTRAL.size + title + extra + comment
        if mark != b"PK\x01\x02" or disk or tail > end or title > _LONGEST_NAME:
            raise InvalidBundle("The archive's directory is damaged.")
        raw = self._content[at + _CENTRAL.size : at + _CENTRAL.size + title]
        if flags & _REFUSED_FLAGS:
            raise InvalidBundle("The archive has an encrypted entry.")
        if method not in {0, _DEFLATED}:
            raise InvalidBundle("The archive is packed in a way that is not read.")
        start = self._data_start(header, raw, flags, method)
        return Entry(_name(raw), method, checksum, start, packed, size), tail, header

    def _data_start(self, header: int, raw: bytes, flags: int, method: int) -> int:
        """Check the local header against the directory; returns where the packed bytes begin."""
        if header + _LOCAL.size > len(self._content):
            raise InvalidBundle("The archive's directory points outside.")
        mark, _, local_flags, local_method, *_, title, extra = _LOCAL.unpack_from(self._content, header)
        at = header + _LOCAL.size
        if mark != b"PK\x03\x04" or (local_flags, local_method) != (flags, method) or title != len(raw):
            raise InvalidBundle("The archive and its directory do not agree.")
        if self._content[at : at + title] != raw:
            raise InvalidBundle("The archive and its directory name an entry differently.")
        return at + len(raw) + int(extra)

    def _after(self, entry: Entry, start: int) -> int:
        """Return where the next entry must begin: after the bytes, and the descriptor streaming writers put there."""
        at = entry.start + entry.packed
        if at > start:
            raise InvalidBundle(f"{entry.name} reaches outside of the archive.")
        for mark in (b"PK\x07\x08", b""):
            descriptor = mark + struct.pack("<3L", entry.checksum, entry.packed, entry.size)
            if self._content[at : at + len(descriptor)] == descriptor and at + len(descriptor) <= start:
                return at + len(descriptor)
        return at


def _find_end(content: bytes) -> tuple[int, int, int]:
    """Return the number of entries, and where the directory starts and ends."""
    at = content.rfind(b"PK\x05\x06", max(0, len(content) - _END.size - 0xFFFF))
    if at < 0 or at + _END.size > len(content):
        raise NotABundle
    _, disk, first, here, count, size, start, comment = _END.unpack_from(content, at)
    if at + _END.size + comment != len(content):
        raise NotABundle("Something follows the ZIP file, or it is cut off.")
    if disk or first or here != count or start + size != at:
        raise NotABundle("The ZIP file's directory is not where it should be.")
    return count, start, at


def _name(raw: bytes) -> str:
    """Return a name that is safe to use as one: plain, without a path."""
    name = raw.decode("ascii", "replace")
    plain = bool(name) and all(character.isalnum() or character in "._-" for character in name)
    if not plain or not raw.isascii() or name.startswith("."):
        raise InvalidBundle("The archive has an entry whose name is not a plain file name.")
    return name


def _inflate(entry: Entry, packed: bytes) -> bytes:
    """Unpack, one byte more than promised at the most."""
    inflate = zlib.decompressobj(-15)
    try:
        content = inflate.decompress(packed, entry.size + 1)
    except zlib.error as error:
        raise InvalidBundle(f"{entry.name} is damaged.") from error
    if not inflate.eof or inflate.unused_data or inflate.unconsumed_tail:
        raise InvalidBundle(f"{entry.name} is not as large as the archive says.")
    return content
