"""OPA's bundles, and OPA itself (the toolkit) as the judge of them."""

import gzip
import io
import json
import tarfile

import pytest
from bundle_desk import Desk
from hypothesis import given
from hypothesis import strategies as st

from policy_server.bundles.opa import read_opa, roots
from policy_server.model.errors import InvalidBundle, NotABundle
from policy_server.model.policy import Dialect, PolicyId
from policy_server.toolkit.toolkit import Toolkit

POLICY = PolicyId("r", "g", "p", "1.0")
REGO = "package g.p\n\nallow if data.admins[_] == input.user\n"
V0 = "package g.p\n\nallow { data.admins[_] == input.user }\n"
DATA = '{"admins": ["alice"], "n": 12345678901234567890}'


def unpack(content: bytes) -> dict[str, bytes]:
    """Read a tar file the plain way."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers()}


def pack(files: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """Write a tar file by hand."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return gzip.compress(target.getvalue())


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link."""
    about = tarfile.TarInfo(name)
    about.type, about.linkname = tarfile.SYMTYPE, target
    return about


@pytest.mark.parametrize(("rego", "version"), [(REGO, 1), (V0, 0)])
def test_a_policy_is_written_as_opa_has_it(desk: Desk, rego: str, version: int) -> None:
    """A manifest, the data, the module; roots that own no more than the policy."""
    revision = desk.publish(str(POLICY), rego, data=DATA)

    made = desk.exporter.export_opa(POLICY, wasm=False)

    files = unpack(made.content)
    assert (made.name, made.media) == ("r_g_p_1.0.tar.gz", "application/gzip")
    assert list(files) == ["/.manifest", "/data.json", "/g/p/policy.rego"]
    assert json.loads(files["/.manifest"]) == {
        "revision": revision.digest,
        "roots": ["admins", "g/p", "n"],
        "rego_version": version,
        "metadata": {"policy_server": {"policy": "r/g/p/1.0", "revision": 1}},
    }
    assert files["/data.json"].decode() == DATA
    assert made.content == desk.exporter.export_opa(POLICY, wasm=False).content


@pytest.mark.parametrize(("rego", "dialect"), [(REGO, Dialect.V1), (V0, Dialect.V0)])
def test_opa_evaluates_what_was_written(desk: Desk, toolkit: Toolkit, rego: str, dialect: Dialect) -> None:
    """Modules and data as OPA's own loader would take them from the file."""
    desk.publish(str(POLICY), rego, data=DATA)
    files = unpack(desk.exporter.export_opa(POLICY, wasm=False).content)
    modules = {name: content.decode() for name, content in files.items() if name.endswith(".rego")}

    answer = toolkit.eval(
        "data.g.p.allow", modules, data=json.loads(files["/data.json"]), input={"user": "alice"}, dialect=dialect
    )

    assert "true" in json.dumps(answer)


def test_the_module_may_come_along(desk: Desk) -> None:
    """OPA's resolvers find it by the entrypoints."""
    revision = desk.publish(str(POLICY), "package g.p\n\ndecision := 1\n")

    files = unpack(desk.exporter.export_opa(POLICY, wasm=True).content)

    assert files["/policy.wasm"] == desk.store.module(revision.manifest.digest)
    assert json.loads(files["/.manifest"])["wasm"] == [
        {"entrypoint": "g/p", "module": "/policy.wasm"},
        {"entrypoint": "g/p/decision", "module": "/policy.wasm"},
    ]


@pytest.mark.parametrize("rego", [REGO, V0])
def test_what_was_written_is_read_back(desk: Desk, rego: str) -> None:
    """With its name and its Rego version, and all digits of its numbers."""
    desk.publish(str(POLICY), rego, data=DATA)

    plain = read_opa(desk.exporter.export_opa(POLICY, wasm=True).content)

    source = plain.source(POLICY, origin="file")
    assert plain.id == POLICY
    assert (source.rego, source.data, source.origin) == (rego, DATA, "file")
    assert source.dialect is (Dialect.V0 if rego == V0 else Dialect.V1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, ["g/p"]),
        ({"a": 1}, ["a", "g/p"]),
        ({"g": {"q": 1}, "a": 1}, ["a", "g"]),
        ({"a/b": 1}, [""]),
        ({"": 1}, [""]),
    ],
)
def test_roots_never_overlap(data: dict[str, object], expected: list[str]) -> None:
    """OPA refuses bundles whose roots do."""
    assert roots(POLICY, data) == expected


def test_data_is_joined_from_its_directories() -> None:
    """Each file under its path, tests left out."""
    plain = read_opa(
        pack(
            {
                "./data.json": b'{"a": {"x": 1}}',
                "a/b/data.json": b'{"y": 2}',
                "policy/p.rego": REGO.encode(),
                "policy/p_test.rego": b"package g.p_test",
            }
        )
    )

    assert json.loads(plain.data or "") == {"a": {"x": 1, "b": {"y": 2}}}
    assert (plain.id, plain.rego_version, plain.roots) == (None, None, ("",))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "0 Rego modules"),
        ({"a.rego": b"package a", "b.rego": b"package b"}, "2 Rego modules"),
        ({"../a.rego": b""}, "leads elsewhere"),
        ({"a/../../b.rego": b""}, "leads elsewhere"),
        ({"a\\b.rego": b""}, "leads elsewhere"),
        ({"a.rego": link("a.rego", "/etc/passwd")}, "neither a file"),
        ({"a.rego": b"", "./a.rego": b""}, "twice"),
        ({"a.rego": b"", "patch.json": b"{}"}, "Delta"),
        ({"a.rego": b"", "x/data.yaml": b"a: 1"}, "YAML"),
        ({"a.rego": b"", "data.json": b"[]"}, "JSON object"),
        ({"a.rego": b"", "data.json": b'{"a": 1}', "a/data.json": b"{}"}, "both have a"),
        ({"a.rego": b"", ".manifest": b"{"}, "not valid JSON"),
        ({"a.rego": b"\xff"}, "not UTF-8"),
        (
            {"a.rego": b"package a", ".manifest": b'{"wasm": [{"entrypoint": "a", "module": "/policy.wasm"}]}'},
            "target rego",
        ),
        ({f"{number}.txt": b"" for number in range(513)}, "more than 512"),
        ({"/".join("a" * 70) + ".rego": b""}, "too deep"),
        ({"a.rego": b"", "data.json": bytes(2 << 20)}, "unpacks to more"),
    ],
)
def test_what_is_no_bundle_of_one_policy_is_refused(files: dict[str, bytes], told: str) -> None:
    """With the reason."""
    with pytest.raises(InvalidBundle, match=told):
        read_opa(pack(files))


def test_a_file_that_is_cut_off_or_continued_is_refused() -> None:
    """Wherever."""
    content = pack({"a.rego": REGO.encode()})

    for damaged in (content[:-5], content[:20], content + b"x", content + content):
        with pytest.raises(InvalidBundle):
            read_opa(damaged)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused(content: bytes, packed: bool) -> None:
    """With one of two errors."""
    with pytest.raises((NotABundle, InvalidBundle)):
        read_opa(gzip.compress(content) if packed else content)


@pytest.mark.parametrize(
    ("manifest", "version"),
    [
        ({}, None),
        ({"rego_version": 0}, 0),
        ({"rego_version": True}, None),
        ({"rego_version": 1, "file_rego_versions": {"/policy/p.rego": 0}}, 0),
        ({"rego_version": 1, "file_rego_versions": {"*/p.rego": 0}}, 0),
        ({"rego_version": 1, "file_rego_versions": {"/other.rego": 0}}, 1),
    ],
)
def test_the_manifest_says_which_rego_it_is(manifest: dict[str, object], version: int | None) -> None:
    """For all files, or for some."""
    plain = read_opa(pack({".manifest": json.dumps(manifest).encode(), "policy/p.rego": REGO.encode()}))

    assert plain.rego_version == version
