"""The files of OPA's bundles: ``.tar.gz``, read within limits, written with the same bytes every time."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from policy_server.model.errors import InvalidBundle, NotABundle
from policy_server.publishing.checks import LIMITS

LARGEST: Final = 256 << 20
"""The largest sum of all files that is read, in bytes, unpacked."""

_MOST_FILES: Final = 512
_RATIO: Final = 200
_SMALL: Final = 1 << 20
_DEPTH: Final = 64


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack files by their names, which OPA writes with a slash in front."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(f"/{name}")
            about.size, about.mode = len(content), 0o644
            archive.addfile(about, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the regular files by their names, without a slash in front.

    Raises:
        NotABundle: no gzip file.
        InvalidBundle: too large, damaged, or with entries or names that are not read.
    """
    return dict(_files(content))


def is_gzip(content: bytes) -> bool:
    """Tell whether a file can be an OPA bundle, not a signed one."""
    return content[:2] == b"\x1f\x8b"


def _files(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the regular files with safe names, within the limits."""
    if not is_gzip(content):
        raise NotABundle("This is not a gzip file.")
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(_gunzip(content)), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= _MOST_FILES:
                    raise InvalidBundle(f"The bundle has more than {_MOST_FILES} entries.")
                if member.isdir():
                    continue
                name = _safe(member)
                if name in seen:
                    raise InvalidBundle(f"The bundle has {name} twice.")
                seen.add(name)
                unpacked = archive.extractfile(member)
                yield name, b"" if unpacked is None else unpacked.read()
    except (tarfile.TarError, EOFError, ValueError, OSError, RecursionError, OverflowError) as error:
        raise InvalidBundle("The bundle's tar file is damaged.") from error


def _gunzip(content: bytes) -> bytes:
    """Unpack within the limits, whatever the file promises."""
    most = min(LARGEST, max(_SMALL, len(content) * _RATIO))
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = inflate.decompress(content, most + 1)
    except zlib.error as error:
        raise InvalidBundle("The bundle is not packed the way it says.") from error
    if len(unpacked) > most:
        raise InvalidBundle(f"The bundle unpacks to more than {most} bytes.")
    if not inflate.eof or inflate.unused_data:
        raise InvalidBundle("The bundle is cut off, or something follows it.")
    return unpacked


def _safe(member: tarfile.TarInfo) -> str:
    """Return the name of a regular file without the slash OPA puts in front; anything odd is refused."""
    if not member.isreg() or member.issparse():
        raise InvalidBundle("The bundle has an entry that is neither a file nor a directory.")
    name = member.name.removeprefix("./").lstrip("/")
    segments = name.split("/")
    if not name.isprintable() or "\\" in name or any(segment in {"", ".", ".."} for segment in segments):
        raise InvalidBundle("The bundle has an entry whose name leads elsewhere.")
    if len(segments) > _DEPTH:
        raise InvalidBundle("The bundle has an entry that lies too deep.")
    base = segments[-1]
    if base in LIMITS and member.size > LIMITS[base]:
        raise InvalidBundle(f"{name} has {member.size} bytes; at most {LIMITS[base]} are read.")
    return name
