"""Keeps compiled modules on disk, so that they are compiled once a machine.

SECURITY: what lies here is native code that wasmtime runs as it is. The
directory is 0700 and ours, files are written whole, and each is compared with
the SHA-256 recorded beside it before it is used.
"""

import hashlib
import json
import logging
import os
import platform
import stat
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from policy_server.wasm.engine import SETTINGS

log = logging.getLogger(__name__)


class CompiledFiles:
    """One directory of compiled modules; None keeps nothing."""

    def __init__(self, directory: Path | None) -> None:
        """Take the directory; it is made at the first write."""
        self._directory = directory
        self._warned = False

    def read(self, digest: str) -> bytes | None:
        """Return the compiled form of the module with this digest, None when there is no sound one."""
        if self._directory is None:
            return None
        path = self._directory / f"{_key(digest)}.cwasm"
        try:
            if not _ours(self._directory):
                return None
            content = path.read_bytes()
            recorded = path.with_suffix(".sha256").read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._warn(error)
            return None
        if hashlib.sha256(content).hexdigest() != recorded:
            log.warning("%s is damaged and is made again", path)
            return None
        return content

    def write(self, digest: str, content: bytes | bytearray) -> None:
        """Keep the compiled form; a directory that cannot be written only costs the time saved."""
        if self._directory is None:
            return
        path = self._directory / f"{_key(digest)}.cwasm"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _ours(self._directory):
                return
            # Two processes may write at once: a file of the one beside the sum of
            # the other is found damaged by the next reader, and made again.
            _replace(path, content)
            _replace(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
        except OSError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning("compiled modules cannot be kept in %s: %s", self._directory, error)


def _key(digest: str) -> str:
    facts = [digest, version("wasmtime"), sys.platform, platform.machine(), json.dumps(SETTINGS, sort_keys=True)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _ours(directory: Path) -> bool:
    found = directory.stat()
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        log.warning("%s belongs to another user; compiled modules are not kept", directory)
        return False
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)
    return True


def _replace(path: Path, content: bytes | bytearray) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
