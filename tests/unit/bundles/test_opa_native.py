"""OPA itself, where scripts/bench has fetched it: it loads what we write, we load what it builds."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from bundle_desk import Desk
from bundle_samples import opa_signed, pem, public_pem

from policy_server.bundles.opa import read_opa
from policy_server.bundles.opa_archive import pack, unpack
from policy_server.bundles.opa_signatures import SIGNATURES, add_signature
from policy_server.bundles.signers import LocalSigner
from policy_server.bundles.verification import Verification
from policy_server.model.bundle import SigningKey
from policy_server.model.errors import BundleUnverified
from policy_server.model.policy import PolicyId

ROOT = Path(__file__).parents[3]
OPA = Path(os.environ.get("BENCH_CACHE") or ROOT / ".cache" / "bench") / "bin" / "opa"
POLICY = PolicyId("r", "g", "p", "1.0")
WHITE = ["", " ", "\n\t"]

pytestmark = pytest.mark.skipif(not OPA.is_file(), reason=f"there is no {OPA}: scripts/bench fetches it")


ALGORITHMS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
ODD = r'{"b": 1.50, "a": ["\u2028<&>\b\u007f", "ä😀", 1e3, -0, {}, null], "\uffee": 1, "\ud83d\ude00": 2}'


def run(*arguments: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    """Run OPA."""
    return subprocess.run([OPA, *arguments], cwd=at, capture_output=True, text=True, check=False, timeout=60)


def opa(*arguments: str | Path, at: Path) -> str:
    """Run OPA, which has to succeed, and return what it writes."""
    done = run(*arguments, at=at)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "rego",
    [
        "package g.p\n\nallow if data.admins[_] == input.user\n",
        "package g.p\n\nallow { data.admins[_] == input.user }\n",
    ],
    ids=["v1", "v0"],
)
def test_opa_evaluates_our_bundle(desk: Desk, tmp_path: Path, rego: str) -> None:
    """With `opa eval -b`, in the Rego version that the manifest names."""
    desk.publish(str(POLICY), rego, data='{"admins": ["alice"]}')
    (tmp_path / "b.tar.gz").write_bytes(desk.exporter.export_opa(POLICY, wasm=False).content)
    (tmp_path / "input.json").write_text('{"user": "alice"}')

    answer = opa("eval", "-b", "b.tar.gz", "-i", "input.json", "data.g.p", at=tmp_path)

    assert json.loads(answer)["result"][0]["expressions"][0]["value"] == {"allow": True}


def test_opa_inspects_our_bundle(desk: Desk, tmp_path: Path) -> None:
    """Manifest and compiled module are where it looks for them."""
    desk.publish(str(POLICY), "package g.p\n\nallow := true\n", data='{"g": {"q": 1}}')
    (tmp_path / "b.tar.gz").write_bytes(desk.exporter.export_opa(POLICY, wasm=True).content)

    found = json.loads(opa("inspect", "--format", "json", "b.tar.gz", at=tmp_path))

    assert found["manifest"]["roots"] == ["g"]
    assert found["namespaces"]["data.g.p"] == ["/g/p/policy.rego", "/policy.wasm"]


def test_we_read_what_opa_builds(desk: Desk, tmp_path: Path) -> None:
    """A policy with data in a directory of its own."""
    (tmp_path / "src" / "g").mkdir(parents=True)
    (tmp_path / "src" / "p.rego").write_text("package g.p\n\nallow if input.user == data.g.admin\n")
    (tmp_path / "src" / "g" / "data.json").write_text('{"admin": "bob"}')
    opa("build", "-b", "src", "-o", "built.tar.gz", at=tmp_path)

    plain = read_opa((tmp_path / "built.tar.gz").read_bytes())
    revision = desk.publisher.publish(plain.source(POLICY, origin="built.tar.gz"), author="test")

    assert json.loads(revision.data or "") == {"g": {"admin": "bob"}}
    assert str(revision.manifest.dialect) == "v1"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A bundle's files in a directory, with odd data."""
    (tmp_path / "src" / "g").mkdir(parents=True)
    (tmp_path / "src" / "p.rego").write_text("package g.p\n\nallow := true\n")
    (tmp_path / "src" / "g" / "data.json").write_text(ODD)
    (tmp_path / "src" / "other.json").write_text("[1, 2]")
    (tmp_path / "src" / ".manifest").write_text('{"roots": ["g"], "revision": "<1>"}')
    return tmp_path / "src"


def sign(source: Path, key: str, algorithm: str, *more: str) -> dict[str, bytes]:
    """Have a directory signed, and return its files."""
    opa("sign", "--signing-key", key, "--signing-alg", algorithm, "--bundle", ".", *more, at=source)
    found = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != "key.pem"}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_we_verify_what_opa_signs(signed: Path, kind: str) -> None:
    """For each kind of key, whatever is in the data; with another key, nothing."""
    (signed.parent / "key.pem").write_text(pem(kind))

    files = sign(signed, "../key.pem", ALGORITHMS[kind])

    Verification(public_pem(kind).encode(), algorithm=ALGORITHMS[kind]).check(files)
    with pytest.raises(BundleUnverified):
        Verification(public_pem(kind, "stranger").encode()).check(files)
    with pytest.raises(BundleUnverified, match="not the file"):
        Verification(public_pem(kind).encode()).check({**files, "p.rego": b"package g.p\n\nallow := false\n"})


def test_we_hash_every_document_as_opa_does(tmp_path: Path) -> None:
    """Five hundred at random: all kinds of numbers, letters and depths, in one signature."""
    dice = random.Random(2026)
    letters = [*map(chr, range(32)), *'"\\\\/<>&aé😀\u007f\u2028\u2029\ue000\uffee ']
    numbers = ["0", "-0", "1.50", "1E5", "1e-7", "123456789012345678901234567890", "0.1", "-1.0e+2"]

    def text() -> str:
        plain = "".join(dice.choices(letters, k=dice.randrange(6)))
        return json.dumps(plain, ensure_ascii=dice.random() < 0.5)

    def document(depth: int) -> str:
        kind = dice.randrange(6 if depth else 4)
        if kind < 4:
            return (text, lambda: dice.choice(numbers), lambda: dice.choice(["true", "false", "null"]), text)[kind]()
        parts = [document(depth - 1) for _ in range(dice.randrange(5))]
        if kind == 4:
            return f"[{' , '.join(parts)}]"
        return f"{{{','.join(f'{text()}:{dice.choice(WHITE)}{each}' for each in parts)}}}"

    (tmp_path / "src").mkdir()
    (tmp_path / "key.pem").write_text(pem("P-256"))
    for number in range(500):
        (tmp_path / "src" / f"d{number}").mkdir()
        (tmp_path / "src" / f"d{number}" / "data.json").write_text(document(4))

    files = sign(tmp_path / "src", "../key.pem", "ES256")

    assert len(files) == 501
    Verification(public_pem("P-256").encode()).check(files)


def test_we_verify_what_opa_signs_with_a_secret_and_a_scope(signed: Path) -> None:
    """Where both are asked for."""
    (signed.parent / "secret").write_text("s3cret")
    (signed.parent / "claims.json").write_text('{"scope": "write", "iss": "somebody"}')

    files = sign(signed, "../secret", "HS256", "--claims-file", "../claims.json")

    Verification(b"s3cret", algorithm="HS256", scope="write").check(files)
    for wrong in (Verification(b"s3cret", algorithm="HS256"), Verification(b"other", algorithm="HS256", scope="write")):
        with pytest.raises(BundleUnverified):
            wrong.check(files)


def test_we_verify_what_opa_builds(tmp_path: Path, signed: Path) -> None:
    """Its file has a plugin's name in it, and a key's."""
    (tmp_path / "key.pem").write_text(pem("RSA"))
    opa("build", "-b", "src", "--signing-key", "key.pem", "-o", "built.tar.gz", at=tmp_path)

    files = unpack((tmp_path / "built.tar.gz").read_bytes())

    assert json.loads(files[SIGNATURES])["plugin"] == "_default"
    Verification(public_pem("RSA").encode()).check(files)


@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("scope", ["", "write"])
def test_opa_verifies_what_we_sign(desk: Desk, tmp_path: Path, kind: str, scope: str) -> None:
    """For each kind of key; not with another one, for another scope, or when a file was changed."""
    desk.publish(str(POLICY), "package g.p\n\nallow := true\n", data=ODD)
    (tmp_path / "key.pem").write_text(pem(kind))
    files = unpack(desk.exporter.export_opa(POLICY, wasm=True).content)
    signer = LocalSigner(tmp_path / "key.pem")
    made = add_signature(files, lambda claims: signer.token(SigningKey("n", "k"), claims), claims={"scope": scope})
    algorithm = "PS256" if kind == "RSA" else ALGORITHMS[kind]

    def verify(name: str, files: dict[str, bytes], key: str = kind, owner: str = "peer", scope: str = scope) -> bool:
        (tmp_path / f"{name}.tar.gz").write_bytes(pack(files))
        (tmp_path / "public.pem").write_text(public_pem(key, owner))
        options = ["--verification-key", "public.pem", "--signing-alg", algorithm, "--scope", scope]
        done = run("build", "-b", f"{name}.tar.gz", *options, "-o", "out.tar.gz", at=tmp_path)
        return done.returncode == 0

    assert verify("good", made)
    assert not verify("stranger", made, owner="stranger")
    assert not verify("scope", made, scope="read")
    assert not verify("changed", {**made, "data.json": b"{}"})
    assert not verify("more", {**made, "x.rego": b"package g.x"})
    assert not verify("less", {name: content for name, content in made.items() if name != "policy.wasm"})


@pytest.mark.parametrize(("key", "good"), [("peer", True), ("stranger", False)])
def test_opa_runs_what_we_sign(tmp_path: Path, key: str, good: bool) -> None:
    """`opa run -b --verification-key` reads it at its start, and ends when it does not verify."""
    (tmp_path / "b.tar.gz").write_bytes(opa_signed())
    (tmp_path / "public.pem").write_text(public_pem("P-256", key))
    command = [OPA, "run", "-b", "b.tar.gz", "--verification-key", "public.pem", "--signing-alg", "ES256"]

    done = subprocess.run(
        command, cwd=tmp_path, input="data.g.p.allow", capture_output=True, text=True, check=False, timeout=60
    )

    assert ("true" in done.stdout, done.returncode == 0) == (good, good)
