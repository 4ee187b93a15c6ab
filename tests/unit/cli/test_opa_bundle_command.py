"""The family `bundle` with OPA's signatures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_samples import KINDS, OPA_FILES, REGO, bundle, opa_signed, pem, public_jwk, public_pem
from cli_ran import Ran

from policy_server.bundles.opa_archive import pack, unpack


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The peer's public key."""
    file = tmp_path / "peer.pem"
    file.write_text(public_pem("P-256"))
    return file


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A bundle that the peer has signed."""
    file = tmp_path / "signed.tar.gz"
    file.write_bytes(opa_signed())
    return file


def test_a_key_in_a_file_lets_a_bundle_in(command: Callable[..., Ran], signed: Path, key: Path, tmp_path: Path) -> None:
    """OPA's option; another key does not, and neither does nobody's."""
    (tmp_path / "other.pem").write_text(public_pem("P-256", "stranger"))

    assert command("bundle", "import", signed).code == 5
    assert command("bundle", "import", signed, "--verification-key", tmp_path / "other.pem").code == 5
    done = command("bundle", "import", signed, "--verification-key", key, "--signing-alg", "ES256")
    assert json.loads(done.out)["policy"] == "shared/g/p/1.0"


def test_a_trusted_key_lets_a_bundle_in(command: Callable[..., Ran], signed: Path, key: Path) -> None:
    """By the rules of imports: the policy is its signer's."""
    command("bundle", "trust", "peer", key, "--repository", "shared")

    done = command("bundle", "import", signed)
    verified = command("bundle", "verify", signed)

    assert json.loads(done.out)["name"] == "p"
    assert verified == Ran(0, "shared/g/p/1.0: signed by peer\n", "")


def test_a_nameless_bundle_is_named(command: Callable[..., Ran], key: Path, tmp_path: Path) -> None:
    """Where a trusted key lets it in, too."""
    (tmp_path / "b.tar.gz").write_bytes(opa_signed(files={"p.rego": REGO.encode()}))
    command("bundle", "trust", "peer", key)

    assert command("bundle", "import", tmp_path / "b.tar.gz").code == 1
    assert json.loads(command("bundle", "import", tmp_path / "b.tar.gz", "--as", "x/g/p/1").out)["repository"] == "x"


def test_a_name_that_no_address_leads_to_is_refused(command: Callable[..., Ran], tmp_path: Path) -> None:
    """Also when whoever runs the command vouches for the bundle."""
    (tmp_path / "b.tar.gz").write_bytes(pack({"p.rego": REGO.encode()}))

    refused = command("bundle", "import", tmp_path / "b.tar.gz", "--as", "x/g/p/..", "--skip-verify")

    assert refused.code == 1
    assert "cannot be part of an address" in refused.err


def test_an_unsigned_bundle_is_refused_where_a_key_is_given(
    command: Callable[..., Ran], key: Path, tmp_path: Path
) -> None:
    """Without one, whoever runs the command vouches for it."""
    (tmp_path / "b.tar.gz").write_bytes(pack(OPA_FILES))

    refused = command("bundle", "import", tmp_path / "b.tar.gz", "--verification-key", key)

    assert (refused.code, "no signature" in refused.err) == (5, True)
    assert command("bundle", "import", tmp_path / "b.tar.gz").code == 0


def test_a_signature_may_be_left_alone(command: Callable[..., Ran], signed: Path) -> None:
    """When the operator says so."""
    assert command("bundle", "import", signed, "--skip-verify").code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 5),
        (["--scope", "write"], 5),
        (["--scope", "write", "--exclude-files-verify", "x/*"], 0),
        (["--scope", "write", "--exclude-files-verify", "*"], 5),
        (["--scope", "write", "--exclude-files-verify", "[x]"], 1),
        (["--scope", "write", "--exclude-files-verify", "x/*", "--signing-alg", "RS256"], 5),
        (["--scope", "write", "--exclude-files-verify", "x/*", "--signing-alg", "RSA"], 1),
        (["--scope", "write", "--exclude-files-verify", "x/*", "--verification-key-id", "any"], 0),
    ],
)
def test_a_bundle_is_verified_as_opa_would(
    command: Callable[..., Ran], key: Path, tmp_path: Path, options: list[str], code: int
) -> None:
    """With its options."""
    files = unpack(opa_signed(scope="write"))
    (tmp_path / "b.tar.gz").write_bytes(pack({**files, "x/more.txt": b"not signed"}))

    ran = command("bundle", "verify", tmp_path / "b.tar.gz", "--verification-key", key, *options)

    assert ran.code == code


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_is_signed_for_opa(
    command: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With the key in a file; the signature is shown, and verified."""
    for name, text in {"key.pem": pem(kind), "public.pem": public_pem(kind), "peer.jwk": public_jwk("P-256")}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "peer.zip").write_bytes(bundle(export_config='{"namespace": "any", "key": "any"}'))
    monkeypatch.setenv("POLICY_BUNDLE_KEY", str(tmp_path / "key.pem"))
    command("bundle", "trust", "peer", tmp_path / "peer.jwk")
    command("bundle", "import", tmp_path / "peer.zip")
    file = tmp_path / "ours.tar.gz"

    made = command("bundle", "export", "shared/g/p/1.0", "--opa", "--sign", "--scope", "write", "-o", file)

    assert made.code == 0
    shown = json.loads(command("bundle", "inspect", file).out)["signature"]
    assert (shown["scope"], shown["files"]) == ("write", [".manifest", "data.json", "g/p/policy.rego"])
    ran = command("bundle", "verify", file, "--key", tmp_path / "public.pem", "--scope", "write")
    assert ran == Ran(0, f"{file}: signed by {tmp_path}/public.pem\n", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "a/b/c/d", "--sign"], "--opa"),
        (["import", "signed.tar.gz", "--scope", "write"], "need a key"),
        (["import", "signed.tar.gz", "--skip-verify", "--server", "http://127.0.0.1:1"], "local store"),
        (["import", "peer.zip", "--verification-key", "peer.pem"], "OPA's bundles"),
        (["import", "signed.tar.gz", "--verification-key", "none.pem"], "cannot be read"),
    ],
)
def test_options_that_do_not_fit_are_told(
    command: Callable[..., Ran],
    signed: Path,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    """Instead of being passed over."""
    (tmp_path / "peer.zip").write_bytes(bundle())
    monkeypatch.chdir(tmp_path)

    ran = command("bundle", *arguments)

    assert (ran.code, told in ran.err) == (1, True)
