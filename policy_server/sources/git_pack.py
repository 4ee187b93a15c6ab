"""Unpacks what a Git server sent, within limits, into a file from which objects are read.

dulwich unpacks every object whole before it looks how large it is; a pack of a
hundred kilobytes may hold a hundred megabytes. Here the size that an object
claims is looked at first, and what is too large is passed over piece by piece.
"""

import hashlib
import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from policy_server.model.errors import FetchError
from policy_server.sources.git_transport import Alive

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
_NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", 4: b"tag"}
_OFFSET: Final = 6
_REFERENCE: Final = 7
_STEP: Final = 1 << 16

Base = int | bytes
"""What a delta stands on: the place of an object in the pack, or its id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``objects`` of a pack, bytes of one object (``largest``) and of all (``unpacked``)."""

    objects: int
    largest: int
    unpacked: int


class Objects:
    """The objects of one pack, by id; reads from an open file that belongs to the caller."""

    def __init__(self, file: BinaryIO) -> None:
        """Take the file that the contents are written to."""
        self._file = file
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._end = 0

    def add(self, kind: int, content: bytes) -> bytes:
        """Keep an object; return its id."""
        header = b"%s %d\0" % (_NAMES[kind], len(content))
        found = hashlib.sha1(header + content, usedforsecurity=False).digest()
        if found not in self._places:
            self._file.seek(self._end)
            self._file.write(content)
            self._places[found] = (kind, self._end, len(content))
            self._end += len(content)
        return found

    def size(self, sha: bytes) -> int | None:
        """Return the size of an object in bytes, None when it is not there."""
        place = self._places.get(sha)
        return None if place is None else place[2]

    def read(self, sha: bytes, kind: int) -> bytes:
        """Return an object; FetchError when it is not there, or of another kind."""
        place = self._places.get(sha)
        if place is None or place[0] != kind:
            raise FetchError(f"the Git server left out {_NAMES[kind].decode()} {sha.hex()}")
        self._file.seek(place[1])
        return self._file.read(place[2])


def unpack(pack: BinaryIO, into: BinaryIO, limits: Limits, alive: Alive) -> Objects:
    """Read a pack and return its objects, without those that are too large; FetchError.

    Ids are computed, never believed.
    """
    try:
        with mmap.mmap(pack.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, Objects(into), limits, alive).run()
    except (zlib.error, IndexError, ValueError, ApplyDeltaError) as error:
        raise FetchError(f"the Git server sent a broken pack: {error}") from error


@dataclass(frozen=True, slots=True)
class _Delta:
    """Where a change of another object lies in the pack, and how long it is unpacked."""

    place: int
    content: int
    size: int


class _Reader:
    """Reads a pack once from front to end, then makes the objects that are written as changes of others."""

    def __init__(self, data: mmap.mmap, objects: Objects, limits: Limits, alive: Alive) -> None:
        self._data = data
        self._end = len(data) - 20
        self._objects = objects
        self._limits = limits
        self._alive = alive
        self._left = limits.unpacked
        self._deltas: dict[Base, list[_Delta]] = {}

    def run(self) -> Objects:
        """Read everything."""
        known = list(self._read())
        while known:
            place, kind, sha = known.pop()
            for delta in [*self._deltas.pop(place, ()), *self._deltas.pop(sha, ())]:
                made = self._apply(kind, sha, delta)
                if made is not None:
                    known.append((delta.place, kind, made))
        return self._objects

    def _read(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield place, kind and id of the objects that are written whole; note the others."""
        count = int.from_bytes(self._data[8:12])
        if self._data[:4] != b"PACK" or int.from_bytes(self._data[4:8]) not in {2, 3}:
            raise ValueError("it does not begin like one")
        if count > self._limits.objects:
            raise FetchError(f"the newest commit has {count} files and directories; {self._limits.objects} are allowed")
        with memoryview(self._data) as view:
            if hashlib.sha1(view[: self._end], usedforsecurity=False).digest() != view[self._end :]:
                raise ValueError("its checksum is wrong")
        offset = 12
        for number in range(count):
            if number % 256 == 0:
                self._alive()
            place = offset
            kind, size, base, offset = self._head(place)
            content = offset
            fits = size <= self._limits.largest
            whole, offset = self._inflate(offset, size, keep=fits and base is None)
            if base is not None and fits:
                self._deltas.setdefault(base, []).append(_Delta(place, content, size))
            elif whole is not None:
                yield place, kind, self._objects.add(kind, whole)

    def _head(self, place: int) -> tuple[int, int, Base | None, int]:
        """Return kind, size and base of the object at a place, and where its content begins."""
        first, size, offset = self._number(place, first=4)
        kind = (first >> 4) & 7
        if kind == _REFERENCE:
            return kind, size, self._data[offset : offset + 20], offset + 20
        if kind == _OFFSET:
            back = self._data[offset] & 127
            while self._data[offset] & 128:
                offset += 1
                back = ((back + 1) << 7) + (self._data[offset] & 127)
            return kind, size, place - back, offset + 1
        if kind not in _NAMES:
            raise ValueError(f"it holds an object of kind {kind}")
        return kind, size, None, offset

    def _number(self, offset: int, *, first: int) -> tuple[int, int, int]:
        """Read a number in pieces of 7 bits, the first one of ``first``; return its first byte and where it ends."""
        head = byte = self._data[offset]
        value, shift = byte & ((1 << first) - 1), first
        while byte & 128:
            offset += 1
            byte = self._data[offset]
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("it holds a number without end")
        return head, value, offset + 1

    def _inflate(self, offset: int, size: int, *, keep: bool) -> tuple[bytes | None, int]:
        """Unpack ``size`` bytes; return them, when they are to be kept, and where the packed ones end."""
        engine, pieces, total, packed = zlib.decompressobj(), [], 0, b""
        step = min(_STEP, max(256, size))
        while not engine.eof:
            if not packed:
                packed = self._data[offset : offset + step]
                offset += len(packed)
                if not packed:
                    raise ValueError("it ends too early")
            piece = engine.decompress(packed, _STEP)
            packed = engine.unconsumed_tail
            total += len(piece)
            if total > size:
                raise ValueError("an object is longer than it says")
            self._spend(len(piece))
            if keep:
                pieces.append(piece)
        if total != size:
            raise ValueError("an object is shorter than it says")
        return b"".join(pieces) if keep else None, offset - len(engine.unused_data)

    def _apply(self, kind: int, base: bytes, delta: _Delta) -> bytes | None:
        """Make an object of its base; None when it is too large."""
        change, _ = self._inflate(delta.content, delta.size, keep=True)
        if change is None or _sizes(change)[1] > self._limits.largest:
            return None
        self._alive()
        made = b"".join(apply_delta(self._objects.read(base, kind), change))
        self._spend(len(made))
        return self._objects.add(kind, made)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FetchError(
                f"the newest commit unpacks to more than the {self._limits.unpacked} bytes that are allowed"
            )


def _sizes(change: bytes) -> tuple[int, int]:
    """Return the sizes of base and result that a delta begins with."""
    sizes, offset = [], 0
    for _ in range(2):
        value = shift = 0
        while True:
            byte = change[offset]
            offset += 1
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        sizes.append(value)
    return sizes[0], sizes[1]
