"""What is in OPA's bundles: a ``.manifest``, data and Rego, as OPA's own tools read and write them."""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, cast

from policy_server.bundles.opa_archive import unpack
from policy_server.model.bundle import PlainBundle
from policy_server.model.errors import InvalidBundle, InvalidSource
from policy_server.model.policy import Dialect, PolicyId, Revision
from policy_server.model.values import Json, JsonObject
from policy_server.publishing.digest import DATA, REGO
from policy_server.publishing.document import read_object

MANIFEST: Final = ".manifest"
WASM: Final = "policy.wasm"
_PREFIX: Final = "policy_server"


def write_opa(revision: Revision, module: bytes | None = None) -> dict[str, bytes]:
    """Return the files of a revision as OPA loads them, ready to be signed and packed; equal content: equal bytes.

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
    files = {
        MANIFEST: json.dumps(document, ensure_ascii=False).encode(),
        DATA: (revision.data or "{}").encode(),
        f"{'/'.join(_path(policy))}/{REGO}": revision.source.rego.encode(),
    }
    return files if module is None else {**files, WASM: module}


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
    """Unpack and read an OPA bundle of one policy; NotABundle, InvalidBundle. No signature is looked at."""
    return read_files(unpack(content))


def read_files(unpacked: Mapping[str, bytes]) -> PlainBundle:
    """Read the files of an OPA bundle of one policy.

    Raises:
        InvalidBundle: no or several Rego modules, or parts that are not supported.
    """
    files = dict(unpacked)
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


def _path(policy: PolicyId) -> list[str]:
    return policy.package.split(".")


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
