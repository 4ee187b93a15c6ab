"""OPA's bundles: ``.tar.gz`` files with a ``.manifest`` that OPA's own tools read and write.

They carry no signature that is checked here: whoever imports one vouches for it.
"""

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final, cast

from policy_server.model.bundle import PlainBundle
from policy_server.model.errors import InvalidBundle, InvalidSource, NotABundle
from policy_server.model.policy import Dialect, PolicyId, Revision
from policy_server.model.values import Json, JsonObject
from policy_server.publishing.checks import LIMITS
from policy_server.publishing.digest import DATA, REGO
from policy_server.publishing.document import read_object

MANIFEST: Final = ".manifest"
WASM: Final = "policy.wasm"
LARGEST: Final = 256 << 20
"""The largest sum of all files that is read, in bytes, unpacked."""

_MOST_FILES: Final = 512
_RATIO: Final = 200
_SMALL: Final = 1 << 20
_DEPTH: Final = 64
_PREFIX: Final = "policy_server"


def write_opa(revision: Revision, module: bytes | None = None) -> bytes:
    """Pack a revision so that OPA can load it; equal content gives equal bytes.

    With ``module`` OPA can answer the entrypoints from WebAssembly (builds of OPA that can run it).
    """
    policy, manifest = revision.id, revision.manifest
    data = {} if revision.data is None else read_object(revision.data, file=DATA)[0]
    document: dict[str, Json] = {
        "revision": revision.digest,
        "roots": cast(list[Json], roots(policy, data)),
        "rego_version": 0 if manifest.dialect is Dialect.V0 else 1,
        "metadata": {_PREFIX: {"policy": str(policy), "revision": revision.number}},
    }
    if module is not None:
        document["wasm"] = [{"entrypoint": each, "module": f"/{WASM}"} for each in manifest.entrypoints]
    files = [(f"/{MANIFEST}", json.dumps(document, ensure_ascii=False).encode())]
    files += [("/data.json", (revision.data or "{}").encode())]
    files += [(f"/{'/'.join(_path(policy))}/{REGO}", revision.source.rego.encode())]
    files += [] if module is None else [(f"/{WASM}", module)]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files:
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o644
            archive.addfile(about, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def roots(policy: PolicyId, data: JsonObject) -> list[str]:
    """Return the parts of ``data`` that a policy owns: its package, and the top of its data document.

    A key that cannot be written as a root makes the bundle own everything.
    """
    package = _path(policy)
    if any(not key or "/" in key for key in (*data, *package)):
        return [""]
    if package[0] in data:
        return sorted(data)
    return sorted([*data, "/".join(package)])


def read_opa(content: bytes) -> PlainBundle:
    """Read an OPA bundle of one policy.

    Raises:
        NotABundle: no gzip file.
        InvalidBundle: too large, unsafe names, no or several Rego modules, or parts that are not supported.
    """
    files = dict(_files(content))
    manifest = _object(files.pop(MANIFEST, b"{}"), MANIFEST)
    if manifest.get("wasm") and _ours(manifest) is None:
        # `opa build -t wasm` takes the rules of the entrypoints out of the Rego.
        raise InvalidBundle("Rules of this bundle are only there as WebAssembly; build it with the target rego.")
    modules = {name: text for name, text in files.items() if name.endswith(".rego")}
    sources = {name: text for name, text in modules.items() if not name.endswith("_test.rego")}
    if len(sources) != 1:
        raise InvalidBundle(f"The bundle has {len(sources)} Rego modules; a policy here is exactly one.")
    if "patch.json" in files:
        raise InvalidBundle("Delta bundles are not read; make a snapshot bundle.")
    if yaml := [name for name in files if name.rpartition("/")[2] in {"data.yaml", "data.yml"}]:
        raise InvalidBundle(f"{yaml[0]}: data in YAML is not read; write it as data.json.")
    name, rego = next(iter(sources.items()))
    revision, owned = manifest.get("revision"), manifest.get("roots", [""])
    return PlainBundle(
        id=_named(manifest),
        rego=_text(rego, name),
        data=_data_text(files),
        revision=revision if isinstance(revision, str) else "",
        roots=tuple(str(root) for root in owned) if isinstance(owned, list) else (),
        rego_version=_version(manifest, name),
        files=tuple(sorted(files)),
    )


def is_gzip(content: bytes) -> bool:
    """Tell whether a file can be an OPA bundle, not a signed one."""
    return content[:2] == b"\x1f\x8b"


def _path(policy: PolicyId) -> list[str]:
    return policy.package.split(".")


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


def _data_text(files: Mapping[str, bytes]) -> str | None:
    """Return the data as one document; a single data.json at the top keeps its text, numbers and all."""
    named = [name for name in files if name.rpartition("/")[2] == DATA]
    if named == [DATA]:
        _object(files[DATA], DATA)
        return _text(files[DATA], DATA)
    try:
        joined = _data(files)
        return json.dumps(joined, ensure_ascii=False) if joined else None
    except RecursionError as error:
        raise InvalidBundle("The data of the bundle is nested too deeply.") from error


def _data(files: Mapping[str, bytes]) -> dict[str, Json]:
    """Join all data.json files, each under the path it lies in."""
    joined: dict[str, Json] = {}
    for name in sorted(files, key=lambda each: each.count("/")):
        *path, base = name.split("/")
        if base == DATA:
            document: Json = _object(files[name], name)
            for step in reversed(path):
                document = {step: document}
            _merge(joined, cast(dict[str, Json], document), name)
    return joined


def _merge(into: dict[str, Json], more: Mapping[str, Json], name: str) -> None:
    for key, value in more.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value, name)
        elif key in into:
            raise InvalidBundle(f"{name} and another data.json both have {key}.")
        else:
            into[key] = value


def _object(content: bytes, name: str) -> dict[str, Json]:
    try:
        return read_object(_text(content, name), file=name)[0]
    except InvalidSource as error:
        raise InvalidBundle(error.message) from error


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidBundle(f"{name} is not UTF-8.") from error


def _version(manifest: Mapping[str, Json], name: str) -> int | None:
    """Return the Rego version of a module: what the manifest says of its file, or else of all."""
    version, files = manifest.get("rego_version"), manifest.get("file_rego_versions")
    if isinstance(files, dict):
        fitting = (value for pattern, value in files.items() if fnmatchcase(f"/{name}", f"/{pattern.lstrip('/')}"))
        version = next(fitting, version)
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _ours(manifest: Mapping[str, Json]) -> Mapping[str, Json] | None:
    metadata = manifest.get("metadata")
    ours = metadata.get(_PREFIX) if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else None


def _named(manifest: Mapping[str, Json]) -> PolicyId | None:
    """Return the name that our own export has put into the manifest."""
    named = (_ours(manifest) or {}).get("policy")
    try:
        return PolicyId.parse(named) if isinstance(named, str) else None
    except ValueError:
        return None
